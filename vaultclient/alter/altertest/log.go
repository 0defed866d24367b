package altertest

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"
)

// Header is a header line as it was sent.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Call is a call of the vault's API.
type Call struct {
	Step   string    `json:"step,omitempty"` // see SetStep
	At     time.Time `json:"at"`
	Method string    `json:"method"`
	Path   string    `json:"path"` // as sent, escaped
	Query  string    `json:"query,omitempty"`
	// Header holds all lines in the order sent, or sorted by name where the
	// server could not see that.
	Header []Header `json:"header"`
	// Body is the body, a JSON string if it was no JSON.
	Body json.RawMessage `json:"body,omitempty"`
	// Status is that of the answer, 0 if a fault cut the connection.
	Status int `json:"status"`
	// Refused is the code of the error with which the vault answered.
	Refused string `json:"refused,omitempty"`
}

// Violation is a call that the protocol does not allow.
type Violation struct {
	Step   string `json:"step,omitempty"`
	Method string `json:"method"`
	Path   string `json:"path"`
	Code   string `json:"code"`
	Reason string `json:"reason"`
}

// String says it in one line.
func (x Violation) String() string {
	return x.Method + " " + x.Path + ": " + x.Code + ": " + x.Reason
}

// SetStep names what follows, in the log and in [Vault.Recording]. What was
// before it is gone but for the logs: sessions, grants, approvals, faults,
// actors. So each step stands for itself.
func (v *Vault) SetStep(name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.recorded = v.recording()
	v.newWorld()
	v.step = name
}

// Calls returns the log of the vault's API. A call that still waits has the
// status 0.
func (v *Vault) Calls() []Call {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.calls)
}

// Count returns how many calls of a path, or hits at a provider's path, there
// were, refused ones and faults included.
func (v *Vault) Count(path string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.counts[path]
}

// begin puts a call into the log; the caller holds the lock.
func (v *Vault) begin(r *http.Request, sent []Header, raw []byte) int {
	body := json.RawMessage(raw)
	if len(raw) > 0 && !json.Valid(raw) {
		body, _ = json.Marshal(string(raw))
	}
	v.counts[r.URL.Path]++
	v.calls = append(v.calls, Call{
		Step: v.step, At: v.now(), Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery,
		Header: sent, Body: body,
	})
	return len(v.calls) - 1
}

// end completes the call's entry.
func (v *Vault) end(entry int, answer reply, bad *refusal) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if entry >= len(v.calls) {
		return // Reset came between
	}
	c := &v.calls[entry]
	c.Status = answer.status
	if c.Status == 0 && answer.header != nil {
		c.Status = http.StatusOK
	}
	if bad != nil {
		c.Refused = bad.code
		if bad.breach {
			v.breach(c.Method, c.Path, bad.code, bad.message)
		}
	}
	v.wake()
}

// breach keeps a violation; the caller holds the lock.
func (v *Vault) breach(method, path, code, reason string) {
	v.violations = append(v.violations, Violation{Step: v.step, Method: method, Path: path, Code: code, Reason: reason})
}
