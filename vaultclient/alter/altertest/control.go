package altertest

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// maxControl bounds the body of a control call, in bytes.
const maxControl = 1 << 20

// controls are the paths by which other processes do what the methods do:
//
//	GET  /_fake/log /_fake/provider /_fake/violations /_fake/grants /_fake/recording
//	POST /_fake/reset /_fake/step {"name"} /_fake/fault (a Fault) /_fake/clock {"offset_seconds"}
//	POST /_fake/grant (a Grant), answered with it filled in
//	POST /_fake/grant/{id} {"state", "scope_mismatch", "needs_proxy", "gates"}, those given are set
//	POST /_fake/user-token {"person", "ttl_seconds"}, answered with {"token"}
//	POST /_fake/sign-in {"session", "person", "ttl_seconds", "error", "expire"}
//	POST /_fake/connect {"session", "account", "error", "declined", "failed", "expire"}
//	POST /_fake/approval {"id", "decision": approve|deny|expire, "reason"}
//	GET  /_fake/wait?calls=N: when so many calls of the present step have been answered, at most 5 s
func (v *Vault) controls(mux *http.ServeMux) {
	lists := map[string]func() any{
		"log":        func() any { return listOf(v.Calls()) },
		"provider":   func() any { return listOf(v.Hits()) },
		"violations": func() any { return listOf(v.Violations()) },
		"grants":     func() any { return listOf(v.Grants()) },
		"recording":  func() any { return listOf(v.Recording()) },
	}
	for name, list := range lists {
		mux.HandleFunc("GET /_fake/"+name, func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, list()) })
	}
	mux.HandleFunc("GET /_fake/wait", v.controlWait)
	mux.HandleFunc("POST /_fake/reset", func(w http.ResponseWriter, _ *http.Request) {
		v.Reset()
		writeJSON(w, struct{}{})
	})
	mux.HandleFunc("POST /_fake/step", control(func(in struct{ Name string }) any { v.SetStep(in.Name); return struct{}{} }))
	mux.HandleFunc("POST /_fake/fault", control(func(in Fault) any { v.AddFault(in); return struct{}{} }))
	mux.HandleFunc("POST /_fake/grant", control(func(in Grant) any { return v.AddGrant(in) }))
	mux.HandleFunc("POST /_fake/grant/{id}", v.controlGrant)
	mux.HandleFunc("POST /_fake/clock", control(func(in struct {
		OffsetSeconds int `json:"offset_seconds"`
	},
	) any {
		v.SetClockOffset(time.Duration(in.OffsetSeconds) * time.Second)
		return struct{}{}
	}))
	mux.HandleFunc("POST /_fake/user-token", control(func(in tokenControl) any {
		return map[string]string{"token": v.UserToken(in.Person, in.life())}
	}))
	mux.HandleFunc("POST /_fake/sign-in", control(v.controlSignIn))
	mux.HandleFunc("POST /_fake/connect", control(v.controlConnect))
	mux.HandleFunc("POST /_fake/approval", control(v.controlApproval))
}

// listOf makes the JSON of an empty list [].
func listOf[T any](list []T) []T { return append([]T{}, list...) }

// control decodes the body of a control call; "false" as its outcome is 409.
func control[T any](do func(T) any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in T
		dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxControl))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&in); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		out := do(in)
		if out == false {
			http.Error(w, "nothing to change", http.StatusConflict)
			return
		}
		writeJSON(w, out)
	}
}

type tokenControl struct {
	Person     string `json:"person"`
	TTLSeconds *int   `json:"ttl_seconds"`
}

func (c tokenControl) life() time.Duration {
	if c.TTLSeconds == nil {
		return time.Hour
	}
	return time.Duration(*c.TTLSeconds) * time.Second
}

type signInControl struct {
	tokenControl
	Session string `json:"session"`
	Error   string `json:"error"`
	Expire  bool   `json:"expire"`
}

func (v *Vault) controlSignIn(in signInControl) any {
	switch {
	case in.Expire:
		return v.ExpireSignIn(in.Session)
	case in.Error != "":
		return v.FailSignIn(in.Session, in.Error, "the sign-in failed")
	}
	return v.CompleteSignIn(in.Session, in.Person, in.life())
}

type connectControl struct {
	Session  string            `json:"session"`
	Account  string            `json:"account"`
	Error    string            `json:"error"`
	Declined []string          `json:"declined"`
	Failed   map[string]string `json:"failed"`
	Expire   bool              `json:"expire"`
}

func (v *Vault) controlConnect(in connectControl) any {
	if in.Expire {
		return v.ExpireConnect(in.Session)
	}
	return v.CompleteConnect(in.Session, ConnectResult{
		Account: in.Account, Error: in.Error, Declined: in.Declined, Failed: in.Failed,
	})
}

func (v *Vault) controlApproval(in struct{ ID, Decision, Reason string }) any {
	switch in.Decision {
	case "approve":
		return v.Approve(in.ID)
	case "deny":
		return v.Deny(in.ID, in.Reason)
	case "expire":
		return v.ExpireApproval(in.ID)
	}
	return false
}

func (v *Vault) controlGrant(w http.ResponseWriter, r *http.Request) {
	control(func(in struct {
		State         *string `json:"state"`
		ScopeMismatch *bool   `json:"scope_mismatch"`
		NeedsProxy    *string `json:"needs_proxy"`
		Gates         *int    `json:"gates"`
	},
	) any {
		return v.ChangeGrant(r.PathValue("id"), func(g *Grant) {
			set(&g.State, in.State)
			set(&g.ScopeMismatch, in.ScopeMismatch)
			set(&g.NeedsProxy, in.NeedsProxy)
			set(&g.Gates, in.Gates)
		})
	})(w, r)
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// longestControlWait is how long /_fake/wait waits.
const longestControlWait = 5 * time.Second

func (v *Vault) controlWait(w http.ResponseWriter, r *http.Request) {
	want, err := strconv.Atoi(r.URL.Query().Get("calls"))
	if err != nil {
		http.Error(w, "calls is no number", http.StatusBadRequest)
		return
	}
	enough := func() bool {
		n := 0
		for _, c := range v.calls {
			if c.Step == v.step && c.Status != 0 {
				n++
			}
		}
		return n >= want
	}
	v.wait(r, longestControlWait, enough)
	v.mu.Lock()
	ok := enough()
	v.mu.Unlock()
	if !ok {
		http.Error(w, "not so many calls", http.StatusConflict)
		return
	}
	writeJSON(w, struct{}{})
}
