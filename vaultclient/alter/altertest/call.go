package altertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// maxBody is the longest request that the fake reads, in bytes.
const maxBody = 32 << 20

// endpoint is a path of the vault's API.
type endpoint struct {
	pattern string // of http.ServeMux
	body    check  // nil: none is allowed
	query   []string
	// waits marks a handler that takes the lock by itself.
	waits  bool
	handle func(*Vault, *request) (reply, *refusal)
}

// request is a call that passed all checks.
type request struct {
	*http.Request
	body fields
}

// caller returns the caller's name and type.
func (r *request) caller() (name, kind string) {
	return r.Header.Get("X-Alter-Caller"), r.Header.Get("X-Alter-Caller-Type")
}

// reply is an answer that is no refusal.
type reply struct {
	status int // default 200
	body   any // nil: no body
	header map[string]string
}

// refusal is an error answer of the vault.
type refusal struct {
	status  int
	code    string
	message string
	more    map[string]any // further fields of the body
	// breach marks a call that the protocol does not allow.
	breach bool
}

func refuse(status int, code, message string) *refusal {
	return &refusal{status: status, code: code, message: message}
}

func (r *refusal) with(key string, value any) *refusal {
	if r.more == nil {
		r.more = map[string]any{}
	}
	r.more[key] = value
	return r
}

func violation(status int, code, message string) *refusal {
	return &refusal{status: status, code: code, message: message, breach: true}
}

func (r *refusal) reply() reply {
	body := map[string]any{"error": r.code, "message": r.message}
	for key, value := range r.more {
		body[key] = value
	}
	return reply{status: r.status, body: body}
}

func noSuchPath(*Vault, *request) (reply, *refusal) {
	return reply{}, violation(404, "no_such_path", "the vault has no such path or method")
}

// signed serves an endpoint: it checks, logs, applies faults and answers.
func (v *Vault) signed(e endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent := headersAsSent(r)
		raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			// A body that was cut off is no call.
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		v.mu.Lock()
		entry := v.begin(r, sent, raw)
		body, bad := v.check(e, r, raw)
		fault := v.takeFault(r.URL.Path)
		v.mu.Unlock()

		if !fault.before(w, r) {
			v.end(entry, reply{}, nil)
			return
		}
		answer, bad := v.answer(e, &request{r, body}, bad, fault)
		v.end(entry, answer, bad)
		fault.write(w, answer)
	})
}

// check applies the rules of all calls, and the shape of this one's body. The
// caller holds the lock.
func (v *Vault) check(e endpoint, r *http.Request, raw []byte) (fields, *refusal) {
	if bad := v.checkSignature(r, raw); bad != nil {
		return nil, bad
	}
	if bad := v.checkHeaders(r.Header, raw); bad != nil {
		return nil, bad
	}
	if e.pattern == "" {
		return nil, nil
	}
	for name, values := range r.URL.Query() {
		if !slices.Contains(e.query, name) || len(values) != 1 {
			return nil, violation(422, "query_invalid", fmt.Sprintf("query parameter %s=%q", name, values))
		}
	}
	if e.body == nil {
		if len(raw) > 0 {
			return nil, violation(400, "body_invalid", "this path takes no body")
		}
		return nil, nil
	}
	if !json.Valid(raw) || !compactASCII(raw) {
		return nil, violation(400, "body_invalid", "the body is not compact JSON in ASCII")
	}
	if wrong := e.body(raw); wrong != "" {
		return nil, violation(422, "body_invalid", wrong)
	}
	var body fields
	if err := json.Unmarshal(raw, &body); err != nil {
		return nil, violation(422, "body_invalid", err.Error())
	}
	return body, nil
}

// answer lets the endpoint work, unless the call is refused or a fault stands
// in for the answer.
func (v *Vault) answer(e endpoint, r *request, bad *refusal, fault *Fault) (reply, *refusal) {
	var answer reply
	if bad == nil && !fault.replaces() {
		if !e.waits {
			v.mu.Lock()
		}
		answer, bad = e.handle(v, r)
		if !e.waits {
			v.mu.Unlock()
		}
	}
	if bad != nil {
		answer = bad.reply()
	}
	answer.header = v.answerHeader(r, answer.header, bad)
	return answer, bad
}

// answerHeader adds what the vault tells with every answer.
func (v *Vault) answerHeader(r *request, header map[string]string, bad *refusal) map[string]string {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := map[string]string{
		"X-Correlation-Id":      v.newID("correlation"),
		"X-Ratelimit-Limit":     "600",
		"X-Ratelimit-Remaining": "599",
		"X-Ratelimit-Reset":     strconv.FormatInt(v.now().Add(time.Minute).Unix(), 10),
	}
	if name, kind := r.caller(); name != "" && (bad == nil || !bad.breach) {
		key := kind + "/" + name
		v.actors[key] = uuidOf("actor " + key)
		all["X-Alter-Actor-Id"] = v.actors[key]
	}
	for name, value := range header {
		all[name] = value
	}
	return all
}

// bytesOf encodes an answer's body.
func bytesOf(body any) []byte {
	if body == nil {
		return nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(body); err != nil {
		return []byte(fmt.Sprintf(`{"error":"altertest","message":%q}`, err))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
