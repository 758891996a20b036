# ruff: noqa: E402
"""A card that is not there: tensors of `cuda:0` that hold processor or meta tensors and count.

    from tests.support import simulated_card  # before torch
    with simulated_card.CARD, simulated_card.Kernels(): ...

Three parts. C++ registers a device guard and hooks for CUDA that do nothing (g++, once). `Card`
tensors say `cuda:0` and hold a processor tensor, so that small models run for real, or a meta
tensor, which has a shape and no memory. `CARD` sees each operation that torch dispatches. Its own
`FakeTensorMode` does not do: without a guard the first backward pass ends the process, and reads
of data have no answer. Not simulated: Triton, FlexAttention, `torch.compile`, and activations
computed twice, as modes of torch end where the backward pass has a thread of its own.

Counted per mark: `mismatch` (tensors of both devices in one operation: a crash on a card), `syncs`
(the processor waits for the device), `uploads` (a copy that waits), operations about, products,
live bytes, and which kernel attention would take.
"""

import collections
import ctypes
import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import weakref
from pathlib import Path

GUARD = r"""
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/CPUGeneratorImpl.h>
using namespace c10;
struct Guard final : impl::NoOpDeviceGuardImpl<DeviceType::CUDA> {
  Device getDevice() const override { return Device(DeviceType::CUDA, 0); }
  Device exchangeDevice(Device) const override { return getDevice(); }
  Stream getStream(Device) const noexcept override { return Stream(Stream::DEFAULT, getDevice()); }
  Stream getDefaultStream(Device d) const override { return getStream(d); }
  Stream exchangeStream(Stream s) const noexcept override { return s; }
  void record(void**, const Stream&, const DeviceIndex, const EventFlag) const override {}
  void block(void*, const Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
};
C10_REGISTER_GUARD_IMPL(CUDA, Guard)
namespace at { struct CUDAHooks final : CUDAHooksInterface {
  CUDAHooks(CUDAHooksArgs) {}
  void init() const override {}
  bool hasCUDA() const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
  DeviceIndex deviceCount() const override { return 1; }
  DeviceIndex getCurrentDevice() const override { return 0; }
  const Generator& getDefaultGenerator(DeviceIndex = -1) const override {
    return detail::getDefaultCPUGenerator();
  }
};  REGISTER_CUDA_HOOKS(CUDAHooks); }
"""


def load_guard() -> None:
    """Compile and load the guard; torch asks for it once, at its import."""
    torch_at = Path(importlib.util.find_spec("torch").submodule_search_locations[0])
    source = GUARD.encode() + (torch_at / "version.py").read_bytes()
    stamp = hashlib.sha256(source).hexdigest()[:12]
    library = Path(tempfile.gettempdir()) / f"simulated-card-{os.getuid()}-{stamp}.so"
    if not library.exists():
        code = library.with_suffix(f".{os.getpid()}.cpp")
        code.write_text(GUARD, encoding="utf-8")
        compiled = code.with_suffix(".so")
        flags = ["-O0", "-shared", "-fPIC", "-std=c++20", f"-I{torch_at}/include"]
        links = [f"-L{torch_at}/lib", "-lc10", "-ltorch_cpu", f"-Wl,-rpath,{torch_at}/lib"]
        subprocess.run(["g++", *flags, code, "-o", compiled, *links], check=True)
        compiled.replace(library)
    ctypes.CDLL(str(torch_at / "lib/libtorch_global_deps.so"), ctypes.RTLD_GLOBAL)
    ctypes.CDLL(str(library))


if "torch" not in sys.modules:
    load_guard()

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.flop_counter import flop_registry


class Card(torch.Tensor):
    """A tensor on the card that is not there."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner):
        layout = {"strides": inner.stride(), "storage_offset": inner.storage_offset()}
        made = torch.Tensor._make_wrapper_subclass(
            cls, inner.size(), dtype=inner.dtype, device="cuda:0", **layout
        )
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return CARD.run(func, args, kwargs or {})

    def untyped_storage(self):
        return self.inner.untyped_storage()

    def data_ptr(self):
        return self.inner.data_ptr()

    def tolist(self):
        CARD.note("syncs")
        told = torch.ones(self.shape, dtype=self.dtype) if self.inner.is_meta else self.inner
        return told.tolist()

    def __repr__(self):
        return f"Card({self.inner})"


_FREE = {
    *("empty", "empty_strided", "empty_like", "new_empty", "new_empty_strided", "_unsafe_view"),
    *("lift_fresh", "detach", "alias", "is_pinned", "_reshape_alias", "record_stream"),
    "_local_scalar_dense",
}
_READS = {
    *("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_consecutive"),
    *("unique_dim", "equal", "is_nonzero", "bincount"),
}
_INDEX = ("index", "index_put", "_index_put_impl", "_unsafe_index")
_MARKED = ("ops", "where", "attention", "flops", "peak")
Marks = collections.namedtuple("Marks", _MARKED)


class Simulation(TorchDispatchMode):
    """Sees each operation, counts what a card would do, and computes it on the processor."""

    def __init__(self):
        super().__init__()
        self.ops, self.where, self.attention = (collections.Counter() for _ in range(3))
        self.flops = self.live = self.peak = 0
        self.held, self.marks = set(), []
        self.limit = 1 << 62  # numbers above which a tensor has a shape and no memory

    def note(self, what):
        """Count what waits or crashes, and the innermost line that is not torch's."""
        frame = sys._getframe(1)
        ours = ("/torch/", __file__, "<")
        while frame and any(part in frame.f_code.co_filename for part in ours):
            frame = frame.f_back
        self.ops[what] += 1
        at = "in backward"
        if frame:
            at = "/".join(Path(frame.f_code.co_filename).parts[-2:]) + f":{frame.f_lineno}"
        self.where[f"{what} {at}"] += 1

    def mark(self, *_):
        """Keep the counts so far."""
        counts = (self.ops.copy(), self.where.copy(), self.attention.copy())
        self.marks.append(Marks(*counts, self.flops, self.peak))
        self.peak = self.live

    def wrap(self, inner):
        """Bring a tensor onto the card, and count its bytes while anything holds them."""
        store = inner.untyped_storage()
        key, size = store._cdata, store.nbytes()
        if key not in self.held:
            self.held.add(key)
            self.live += size
            self.peak = max(self.peak, self.live)

            def free():
                self.live -= size
                self.held.discard(key)

            weakref.finalize(store, free)
        return Card(inner)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return self.run(func, args, kwargs or {})

    def run(self, func, args, kwargs):
        if torch.is_inference_mode_enabled() and func._can_decompose():
            with self:  # composite operations come whole in inference mode
                return func.decompose(*args, **kwargs)
        flat, name = tree_flatten((args, kwargs))[0], func._schema.name.split("::")[1]
        cards = [x for x in flat if isinstance(x, Card)]
        plain = [x for x in flat if isinstance(x, torch.Tensor) and not isinstance(x, Card)]
        to = kwargs.get("device", args[0].device if name == "copy_" else None)
        to = to and torch.device(to).type
        if not cards and (to != "cuda" or "pin" in name):
            if name in ("_pin_memory", "is_pinned"):
                return args[0] if name == "_pin_memory" else False
            return func(*args, **kwargs)
        self._count(func, name, args, kwargs, cards, plain, to)
        with _disable_current_modes():
            return self._compute(func, name, args, kwargs, cards, plain, to)

    def _count(self, func, name, args, kwargs, cards, plain, to):
        if name in ("_to_copy", "copy_"):
            up = bool(plain) and to == "cuda"
            queued = kwargs.get("non_blocking", len(args) > 2 and args[2])
            if (up or to == "cpu") and (plain or cards)[-1].numel() and not queued:
                self.note("uploads" if up else "syncs")
        elif name.rstrip("_") in _INDEX:
            for index in (index for index in args[1] if index is not None):
                if isinstance(index, Card) and not isinstance(args[0], Card):
                    self.note("mismatch")
                elif isinstance(index, Card) and index.dtype == torch.bool:
                    self.note("syncs")
                elif not isinstance(index, Card) and index.dim():
                    self.note("uploads")
        elif cards and any(x.dim() for x in plain):
            self.note("mismatch")
        sized = kwargs.get("output_size") is not None or len(args) > 2
        if name in _READS or (name == "repeat_interleave" and not sized):
            self.note("syncs")
        views = any(r.alias_info and not r.alias_info.is_write for r in func._schema.returns)
        if name not in _FREE and not views:
            self.ops[name] += 1

    def _compute(self, func, name, args, kwargs, cards, plain, to):
        meta = any(x.inner.is_meta for x in cards) or self._large(cards)
        known = {id(x.inner): x for x in cards}
        cpu = torch.device("cpu")

        def lower(x):
            if isinstance(x, torch.device):
                return "meta" if meta else cpu
            x = x.inner if isinstance(x, Card) else x
            return x.to("meta") if meta and isinstance(x, torch.Tensor) else x

        if meta and name == "_local_scalar_dense":
            kind = args[0]
            return True if kind.dtype == torch.bool else 1.0 if kind.is_floating_point() else 1
        if meta and to == "cpu":
            return torch.ones(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype)
        if meta and name.rstrip("_") in _INDEX:
            args = [args[0], _places(args[1]), *args[2:]]
        a = tree_map(lower, args)
        k = {
            key: lower(cpu if key == "device" and x is not None else x)
            for key, x in kwargs.items()
            if key != "pin_memory"
        }
        fresh = not cards and not plain and args and isinstance(args[0], list | tuple)
        if fresh and torch.Size(args[0]).numel() > self.limit:
            k["device"] = "meta"
        if name == "copy_" and to == "cpu":
            return args[0].copy_(args[1].inner)
        out = _result(func, name, a, k, meta)
        if (of := flop_registry.get(func._overloadpacket)) and "att" not in name:
            numbers = [x for x in a if not isinstance(x, torch.dtype)]
            rest = {key: x for key, x in k.items() if "out" not in key}
            self.flops += of(*numbers, **rest, out_val=out)
        if to == "cpu":
            return out
        wrapped = lambda x: self.wrap(x) if isinstance(x, torch.Tensor) else x  # noqa: E731
        return tree_map(lambda x: known[id(x)] if id(x) in known else wrapped(x), out)

    def _large(self, tensors):
        """Whether known values, such as ids, would spread over more than a processor should do."""
        if self.limit >= 1 << 40 or len(tensors) < 2:
            return False
        try:
            return torch.broadcast_shapes(*(x.shape for x in tensors)).numel() > 1 << 22
        except RuntimeError:
            return False


CARD = Simulation()


def _places(indices):
    """Masks of known values as places, which a device makes of them."""
    found = []
    for index in indices:
        inner = index.inner if isinstance(index, Card) else index
        mask = inner is not None and inner.dtype == torch.bool and not inner.is_meta
        found += inner.nonzero(as_tuple=True) if mask else [inner]
    return found


def _result(func, name, a, k, meta):
    if "varlen" in name:
        return _varlen(name, a)
    if meta and name.startswith("_fused_a"):
        return None  # in place; some forms have no meta kernel
    if name == "_log_softmax" and a[2] and not meta:
        return torch.log_softmax(a[0].float(), a[1])  # two types in one kernel: not on a processor
    if func._overloadname in ("dtype", "dtype_out") and "mm" in name and not meta:
        # Two types in one kernel: not on a processor.
        rest = {key: x for key, x in k.items() if key != "out"}
        out = getattr(torch, name)(*(x.to(a[-1]) for x in a[:-1]), **rest)
        return k["out"].copy_(out) if "out" in k else out
    return func(*a, **k)


def _attend(q, k, v, mask=None, causal=False, scale=None):
    if q.is_meta:
        return torch.empty_like(q)
    return F.scaled_dot_product_attention(
        q, k, v, mask, is_causal=causal, scale=scale, enable_gqa=q.shape[-3] != k.shape[-3]
    )


class _Fused(torch.autograd.Function):
    """One kernel forward and two backward; keeps inputs, output and a number per row."""

    @staticmethod
    def forward(ctx, name, flops, run, *inputs):
        CARD.ops[name] += 1
        CARD.flops += flops
        with _disable_current_modes():
            out = CARD.wrap(run(*(x if x is None else x.inner for x in inputs)))
            rows = CARD.wrap(torch.empty(out.shape[:-1], device="meta"))
        ctx.save_for_backward(*inputs, out, rows)
        ctx.rest = name, flops, run
        return out

    @staticmethod
    def backward(ctx, grad):
        *inputs, out, _ = ctx.saved_tensors
        name, flops, run = ctx.rest
        CARD.ops[name + "_backward"] += 2
        CARD.flops += flops * 5 // 2
        floating = [x is not None and x.is_floating_point() for x in inputs]
        with _disable_current_modes(), torch.enable_grad():
            inner = [x if x is None else x.inner.detach() for x in inputs]
            live = [x.requires_grad_() for x, yes in zip(inner, floating, strict=True) if yes]
            if out.inner.is_meta:
                grads = iter(map(torch.empty_like, live))
            else:
                outputs = run(*inner)
                grads = iter(torch.autograd.grad(outputs, live, grad.inner, allow_unused=True))
            return None, None, None, *(CARD.wrap(next(grads)) if yes else None for yes in floating)


def _attention_kernel(q, mask, grouped):
    if q.dtype == torch.float64 or (mask is not None and grouped):
        return "math"
    if mask is not None:
        return "efficient+mask"
    return "efficient" if q.dtype == torch.float32 else "flash"


class Kernels(TorchFunctionMode):
    """What a CUDA build of torch has in one kernel and a processor build has not."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention and isinstance(
            args[0] if args else kwargs["query"], Card
        ):
            names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
            a = dict(zip(names, args, strict=False)) | kwargs
            q, k, mask, causal = a["query"], a["key"], a.get("attn_mask"), a.get("is_causal", False)
            kind = _attention_kernel(q, mask, a.get("enable_gqa"))
            CARD.attention[kind] += 1
            if kind != "math":
                flops = 4 * q.numel() * k.shape[-2] // (2 if causal else 1)
                run = lambda q, k, v, m: _attend(q, k, v, m, causal, a.get("scale"))  # noqa: E731
                return _Fused.apply("attention", flops, run, q, k, a["value"], mask)
        if func in (F.rms_norm, torch.rms_norm) and isinstance(args[0], Card):
            a = dict(zip(("input", "shape", "weight", "eps"), args, strict=False)) | kwargs
            shape, eps = a["shape"], a.get("eps")
            norm = lambda x, w: torch.empty_like(x) if x.is_meta else F.rms_norm(x, shape, w, eps)  # noqa: E731
            return _Fused.apply("rms_norm", 0, norm, args[0], a.get("weight"))
        return func(*args, **kwargs)


def _varlen(name, args):
    """torch.nn.attention.varlen: documents of one line, by their ends."""
    back = "backward" in name
    CARD.attention["varlen"] += not back
    grad, (q, k, v) = args[0], args[back : back + 3]
    q_ends, k_ends, causal, scale = (args[i] for i in ((6, 7, 10, 12) if back else (3, 4, 7, 8)))
    if q.is_meta:
        if back:
            return tuple(map(torch.empty_like, (q, k, v)))
        rows = q.new_empty(q.shape[1], len(q), dtype=torch.float32)
        return torch.empty_like(q), rows, q.new_empty(2, dtype=torch.uint64)

    out, gradients = torch.zeros_like(q), [torch.zeros_like(x) for x in (q, k, v)]
    q_at, k_at = q_ends.tolist(), k_ends.tolist()
    for number in range(len(q_at) - 1):
        of_q, of_k = slice(*q_at[number : number + 2]), slice(*k_at[number : number + 2])
        parts = (q[of_q], k[of_k], v[of_k])
        out[of_q], *learned = _one_document(*parts, causal, scale, grad[of_q] if back else None)
        for whole, at, part in zip(gradients, (of_q, of_k, of_k), learned, strict=False):
            whole[at] += part
    if back:
        return tuple(gradients)
    rows = q.new_empty(q.shape[1], len(q), dtype=torch.float32)
    return out, rows, torch.empty(2, dtype=torch.uint64)


def _one_document(q, k, v, causal, scale, grad):
    """Attention of one document (T, heads, D) and, where `grad` is, its gradients by formula.

    Autograd is off where operations are dispatched.
    """
    group = q.shape[1] // k.shape[1]
    wide = lambda x: x.float().repeat_interleave(group, 1).transpose(0, 1)  # noqa: E731
    narrow = lambda x: x.transpose(0, 1).unflatten(1, (-1, group)).sum(2)  # noqa: E731
    queries, keys, values = q.float().transpose(0, 1), wide(k), wide(v)
    scores = queries @ keys.mT * scale
    if causal:
        past = torch.ones(len(q), len(k), dtype=torch.bool).tril(len(k) - len(q))
        scores = scores.masked_fill(~past, -torch.inf)
    shares = scores.softmax(-1)
    out = (shares @ values).transpose(0, 1).to(q.dtype)
    if grad is None:
        return (out,)
    of_out = grad.float().transpose(0, 1)
    of_shares = of_out @ values.mT
    slope = shares * (of_shares - (of_shares * shares).sum(-1, keepdim=True)) * scale
    learned = (
        (slope @ keys).transpose(0, 1),
        narrow(slope.mT @ queries),
        narrow(shares.mT @ of_out),
    )
    return (out, *(part.to(q.dtype) for part in learned))


_ANSWERS = (
    (True, "is_available is_initialized is_bf16_supported"),
    (None, "set_device synchronize empty_cache manual_seed manual_seed_all _lazy_init ipc_collect"),
    (None, "reset_peak_memory_stats set_rng_state_all set_rng_state"),
    (1, "device_count"),
    (0, "current_device"),
    (False, "is_current_stream_capturing"),
    ((9, 0), "get_device_capability"),
    ("simulated", "get_device_name"),
    ([], "get_rng_state_all"),
    (torch.zeros(1, dtype=torch.uint8), "get_rng_state"),
    ((80 << 30, 80 << 30), "mem_get_info"),
    (1 << 30, "memory_allocated max_memory_allocated memory_reserved max_memory_reserved"),
)


def on_card() -> None:
    """Let what asks for a card find one of 80 GiB, and keep the counts after each update."""
    import peft  # noqa: F401
    import torch._dynamo  # before the patches: these keep lists of what is where
    import torch.nn.attention.varlen
    import transformers.models.llama.modeling_llama  # noqa: F401
    from torch.optim.optimizer import register_optimizer_step_post_hook

    for answer, names in _ANSWERS:
        for name in names.split():
            setattr(torch.cuda, name, lambda *a, answer=answer, **k: answer)
    shape = {"total_memory": 80 << 30, "major": 9, "minor": 0, "name": "simulated"}
    kind = type("Properties", (), shape | {"multi_processor_count": 132})
    torch.cuda.get_device_properties = lambda *a: kind()
    torch.__future__.set_swap_module_params_on_conversion(True)  # keeps tied weights tied
    torch.utils._foreach_utils._foreach_supported_types.append(Card)
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device="cuda"): here, then copied
    register_optimizer_step_post_hook(CARD.mark)
