"""Go's own reading of a template, as Ollama has it, where Go is installed."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

_PROGRAM = """\
package main

import (
	"encoding/json"
	"os"
	"text/template"
)

func main() {
	var tasks []struct {
		Template string
		Data     map[string]string
	}
	if err := json.NewDecoder(os.Stdin).Decode(&tasks); err != nil {
		panic(err)
	}
	texts := []string{}
	for _, task := range tasks {
		var text writer
		parsed := template.Must(template.New("").Parse(task.Template))
		if err := parsed.Execute(&text, task.Data); err != nil {
			panic(err)
		}
		texts = append(texts, string(text))
	}
	json.NewEncoder(os.Stdout).Encode(texts)
}

type writer []byte

func (text *writer) Write(more []byte) (int, error) {
	*text = append(*text, more...)
	return len(more), nil
}
"""


def render_go(tasks: list[tuple[str, dict[str, str]]], folder: Path) -> list[str]:
    """Templates with their data as text, all in one run, as Go compiles for seconds."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("install Go to render Ollama's templates, such as apt install golang-go")
    program = folder / "render.go"
    program.write_text(_PROGRAM)
    rows = [{"Template": template, "Data": data} for template, data in tasks]
    done = subprocess.run(
        [go, "run", str(program)],
        input=json.dumps(rows),
        capture_output=True,
        text=True,
        env={"HOME": str(folder), "PATH": str(Path(go).parent), "GOCACHE": str(folder / "cache")},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    texts: list[str] = json.loads(done.stdout)
    return texts
