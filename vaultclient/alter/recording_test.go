package alter_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// object is a JSON object.
type object = map[string]any

// recorded is what one client sent in a step, and what came of it.
type recorded struct {
	Outcome                     any
	Calls, Background, Provider []object
}

// lists are the parts of a recording that hold calls, by name.
func (r *recorded) lists() map[string]*[]object {
	return map[string]*[]object{"call": &r.Calls, "background": &r.Background, "provider": &r.Provider}
}

// TestRecordingOfPythonSDK drives the client through the steps that the vault's
// own SDK was driven through, and wants the same of it in all that is not listed
// in differences. What the SDK did is in altertest/testdata; e2e/altersdk wrote
// it, and checks that it is still so.
func TestRecordingOfPythonSDK(t *testing.T) {
	python, steps := readRecording(t), allSteps()
	applyDifferences(t, python)
	for name := range steps {
		if python.steps[name] == nil {
			t.Errorf("the SDK was not recorded in the step %q", name)
		}
	}
	for _, name := range python.names {
		t.Run(name, func(t *testing.T) {
			step, known := steps[name]
			if !known {
				t.Fatal("the SDK was recorded in this step, and this client is not driven through it")
			}
			if diff := cmp.Diff(python.steps[name], drive(t, name, step)); diff != "" {
				t.Errorf("sent or returned otherwise than by the SDK (-SDK +this):\n%s", diff)
			}
		})
	}
}

// allSteps are the steps of e2e/altersdk, done with this client.
func allSteps() map[string]step {
	all := map[string]step{}
	for _, some := range []map[string]step{
		callSteps(), proxySteps(), errorSteps(), signInSteps(), connectSteps(), grantSteps(), catalogueSteps(),
	} {
		maps.Copy(all, some)
	}
	return all
}

type recording struct {
	names []string
	steps map[string]*recorded
}

// readRecording reads the lines that e2e/altersdk wrote.
func readRecording(t *testing.T) recording {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("altertest", "testdata", "python-sdk.txt"))
	if err != nil {
		t.Fatal(err)
	}
	all := recording{steps: map[string]*recorded{}}
	var step *recorded
	for line := range strings.Lines(string(text)) {
		part, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if part == "step" {
			var name string
			parse(t, []byte(value), &name)
			step = &recorded{}
			all.names, all.steps[name] = append(all.names, name), step
			continue
		}
		if part == "outcome" {
			parse(t, []byte(value), &step.Outcome)
			continue
		}
		list := step.lists()[part]
		if list == nil {
			t.Fatalf("the recording has the line %q", line)
		}
		var call object
		parse(t, []byte(value), &call)
		*list = append(*list, call)
	}
	return all
}

func parse(t *testing.T, text []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatalf("reading %.100s: %v", text, err)
	}
}

func jsonOf(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
