"""How providers of chat completions differ, as data: what is sent, and what comes back.

`provider` says what there is to know of one, `known` what is known of each. There is no list of
models: what one of them refuses is learnt from the server (`dialect`).
"""

from decompose_distill.backends.openai.providers.known import PROVIDERS as PROVIDERS
from decompose_distill.backends.openai.providers.known import provider_at as provider_at
from decompose_distill.backends.openai.providers.known import provider_named as provider_named
from decompose_distill.backends.openai.providers.provider import Provider as Provider
