package altertest

import (
	"encoding/json"
	"net/http"
	"path"
	"time"
)

// Cut says where a fault closes the connection.
type Cut string

// Where a connection may be cut.
const (
	CutNever     Cut = ""
	CutUndone    Cut = "undone"    // the request was read, nothing was done
	CutDone      Cut = "done"      // the request was carried out, not answered
	CutHalf      Cut = "half"      // in the middle of the answer's body
	CutUnstarted Cut = "unstarted" // like undone, and not counted as read: at once
)

// Fault makes calls of a path fail. Signatures are checked and calls are logged
// all the same.
type Fault struct {
	// Path is matched as path.Match does, "*" standing for one segment.
	Path string `json:"path"`
	// Skip is how many calls pass before; Times how many fail then. Default: 1;
	// -1 is all.
	Skip  int `json:"skip,omitempty"`
	Times int `json:"times,omitempty"`
	// Status and Body stand in for the answer, which is not computed. A body
	// that is a JSON string is sent as that text, e.g. for garbage.
	Status int               `json:"status,omitempty"`
	Body   json.RawMessage   `json:"body,omitempty"`
	Header map[string]string `json:"header,omitempty"` // also added to true answers
	// Set replaces fields of the true answer, e.g. by one of a wrong type; Drop
	// removes some.
	Set  map[string]json.RawMessage `json:"set,omitempty"`
	Drop []string                   `json:"drop,omitempty"`
	// DelayMS holds the call for so many milliseconds before it is carried out.
	DelayMS int `json:"delay_ms,omitempty"`
	Cut     Cut `json:"cut,omitempty"`
}

// AddFault sets a fault; several for one path follow each other.
func (v *Vault) AddFault(f Fault) {
	if f.Times == 0 {
		f.Times = 1
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.faults = append(v.faults, &f)
}

// ClearFaults removes all faults.
func (v *Vault) ClearFaults() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.faults = nil
}

// takeFault finds the fault for a call, nil if there is none. The caller holds
// the lock.
func (v *Vault) takeFault(called string) *Fault {
	for _, f := range v.faults {
		if ok, _ := path.Match(f.Path, called); !ok || f.Times == 0 {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			return nil
		}
		if f.Times > 0 {
			f.Times--
		}
		copied := *f
		return &copied
	}
	return nil
}

func (f *Fault) replaces() bool { return f != nil && (f.Status != 0 || f.Body != nil) }

// before delays and cuts; false means that the call is over.
func (f *Fault) before(w http.ResponseWriter, r *http.Request) bool {
	if f == nil {
		return true
	}
	if f.DelayMS > 0 {
		timer := time.NewTimer(time.Duration(f.DelayMS) * time.Millisecond)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			return false
		}
	}
	if f.Cut == CutUndone || f.Cut == CutUnstarted {
		hangUp(w)
		return false
	}
	return true
}

// write sends the answer, or what the fault makes of it.
func (f *Fault) write(w http.ResponseWriter, answer reply) {
	body := bytesOf(answer.body)
	status := answer.status
	for name, value := range answer.header {
		w.Header().Set(name, value)
	}
	if body != nil {
		w.Header().Set("Content-Type", "application/json")
	}
	if f != nil {
		for name, value := range f.Header {
			w.Header().Set(name, value)
		}
		body, status = f.change(body, status)
	}
	if f != nil && f.Cut == CutDone {
		hangUp(w)
		return
	}
	if status == 0 {
		status = http.StatusOK
	}
	if f != nil && f.Cut == CutHalf {
		w.Header().Set("Content-Length", "1000000")
		w.WriteHeader(status)
		_, _ = w.Write(body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
		hangUp(w)
		return
	}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func (f *Fault) change(body []byte, status int) ([]byte, int) {
	if f.replaces() {
		var plain string
		if len(f.Body) > 0 && f.Body[0] == '"' && json.Unmarshal(f.Body, &plain) == nil {
			return []byte(plain), f.Status
		}
		return f.Body, f.Status
	}
	if f.Set == nil && f.Drop == nil {
		return body, status
	}
	values := map[string]json.RawMessage{}
	if json.Unmarshal(body, &values) != nil {
		return body, status
	}
	for name, value := range f.Set {
		values[name] = value
	}
	for _, name := range f.Drop {
		delete(values, name)
	}
	return bytesOf(values), status
}

// hangUp closes the connection without another byte.
func hangUp(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		_ = conn.Close()
		return
	}
	// HTTP/2 and recorders cannot be hijacked: the server resets the stream.
	panic(http.ErrAbortHandler)
}
