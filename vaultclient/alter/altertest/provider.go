package altertest

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Hit is a request at the provider API. Below /provider/<mode>/ any path is
// answered; the modes are
//
//	ok            200 and an echo of the request, with whose credential came
//	401           the credential is refused
//	403scope      403 with insufficient_scope, the scope gmail.send missing
//	403           403 without a challenge
//	429           429 with Retry-After: 1
//	400, 404, 5xx this status
//	slow          like ok, when the client has waited for ?ms= (default 1000)
//	cut           the connection is closed, no answer
//	half          ... in the middle of the answer
//	big           ok with a body of ?bytes= (default 2 MiB)
//
// A request without a known credential gets 401 in every mode.
type Hit struct {
	Step   string          `json:"step,omitempty"`
	Method string          `json:"method"`
	Path   string          `json:"path"`
	Query  string          `json:"query,omitempty"`
	Header []Header        `json:"header"` // as in Call
	Body   json.RawMessage `json:"body,omitempty"`
	// GrantID, Person, Account and Provider say whose credential was sent;
	// empty if none was known.
	GrantID  string `json:"grant_id,omitempty"`
	Person   string `json:"person,omitempty"`
	Account  string `json:"account,omitempty"`
	Provider string `json:"provider,omitempty"`
	// Credentials is how many lines carry a header of the grant's name.
	Credentials int `json:"credentials"`
	Status      int `json:"status"`
}

// Hits returns the requests at the provider.
func (v *Vault) Hits() []Hit {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.hits)
}

func (v *Vault) provider(w http.ResponseWriter, r *http.Request) {
	sent := headersAsSent(r)
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	v.mu.Lock()
	fault := v.takeFault(r.URL.Path)
	hit := v.hit(r, sent, body)
	mode := r.PathValue("mode")
	answer := reply{status: http.StatusUnauthorized, body: map[string]any{"error": "unknown credential"}}
	if hit.GrantID != "" {
		answer = answerOf(mode, hit)
	}
	hit.Status = answer.status
	v.hits = append(v.hits, hit)
	v.counts[r.URL.Path]++
	v.wake()
	v.mu.Unlock()
	if fault == nil {
		fault = faultOf(mode, r)
	}
	if fault.before(w, r) {
		if mode == "big" {
			answer.body = strings.Repeat("x", queryNumber(r, "bytes", 2<<20))
		}
		fault.write(w, answer)
	}
}

// hit finds out whose credential a request carries; the caller holds the lock.
func (v *Vault) hit(r *http.Request, sent []Header, body []byte) Hit {
	hit := Hit{
		Step: v.step, Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Header: sent,
	}
	if len(body) > 0 {
		hit.Body = bytesOf(decodeBody(body))
	}
	for _, line := range sent {
		if name := strings.ToLower(line.Name); strings.HasPrefix(name, "x-alter") || name == "x-api-key" && line.Value == v.config.APIKey {
			v.breach(r.Method, r.URL.Path, "leak", "the header "+line.Name+" reached a provider")
		}
	}
	for _, g := range v.grants {
		if !g.sentBy(r, body) {
			continue
		}
		hit.GrantID, hit.Person, hit.Account, hit.Provider = g.ID, g.Person, g.Account, g.Provider
		for _, line := range sent {
			if strings.EqualFold(line.Name, g.InjectHeader) {
				hit.Credentials++
			}
		}
		return hit
	}
	return hit
}

func answerOf(mode string, hit Hit) reply {
	failed := map[string]any{"error": mode}
	switch mode {
	case "401":
		return reply{status: 401, body: failed, header: map[string]string{"WWW-Authenticate": `Bearer error="invalid_token"`}}
	case "403scope":
		return reply{status: 403, body: failed, header: map[string]string{
			"WWW-Authenticate": `Bearer error="insufficient_scope", scope="gmail.send"`,
		}}
	case "429":
		return reply{status: 429, body: failed, header: map[string]string{"Retry-After": "1"}}
	}
	if status, err := strconv.Atoi(mode); err == nil && status >= 200 && status <= 599 {
		return reply{status: status, body: failed}
	}
	return reply{status: 200, body: map[string]any{
		"person": hit.Person, "account": hit.Account, "provider": hit.Provider,
		"method": hit.Method, "path": hit.Path, "query": hit.Query, "body": hit.Body,
	}}
}

func faultOf(mode string, r *http.Request) *Fault {
	switch mode {
	case "slow":
		return &Fault{DelayMS: queryNumber(r, "ms", int(time.Second.Milliseconds()))}
	case "cut":
		return &Fault{Cut: CutUndone}
	case "half":
		return &Fault{Cut: CutHalf}
	}
	return nil
}

func queryNumber(r *http.Request, name string, otherwise int) int {
	n, err := strconv.Atoi(r.URL.Query().Get(name))
	if err != nil || n < 0 {
		return otherwise
	}
	return n
}
