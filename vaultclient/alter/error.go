package alter

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Longest times that a refusal may ask to wait; longer ones are cut.
const (
	maxRetryAfter      = time.Hour
	maxQuotaRetryAfter = 31 * 24 * time.Hour
)

// maxSeconds is the longest time.Duration in seconds, and a little less.
const maxSeconds = int64(1) << 33

// maxErrorList bounds the lists of the vault that an [Error] keeps.
const maxErrorList = 100

// maxErrorText bounds the texts of the vault that an [Error] keeps, in bytes.
const maxErrorText = 512

// Error is a refusal of the vault, or a call to it that failed. What is not said
// is empty. It never holds a key or a token, unless the vault's own words do.
// Texts are cut at 512 bytes, lists at 100 entries.
type Error struct {
	Kind    Kind
	Op      string // the call, such as "POST /sdk/token"
	Status  int    // HTTP status; 0 when there was no answer
	Code    string // the vault's code, such as grant_not_found
	Message string // the vault's words, for the log
	Hint    string // what the vault suggests to the operator

	// Whose grant or agent it is about.
	Provider, GrantID, AgentID, AppUserID string
	// CorrelationID names the call in the vault's own log.
	CorrelationID string

	// RetryAfter: not before; at most an hour, with [ErrQuotaExceeded] 31 days.
	RetryAfter time.Duration
	// Missing scopes: the grant's with [ErrScopesMissing], the API key's with
	// [ErrInsufficientScope].
	Missing []string
	// Candidates with [ErrAmbiguousGrant]; CandidatesTruncated says that there
	// are more, AccountGiven that the account which was asked for fits several.
	Candidates          []Candidate
	CandidatesTruncated bool
	AccountGiven        bool
	// MaxSessionAge with [ErrStepUpRequired]: how old the login may be.
	MaxSessionAge time.Duration
	// Credentials to choose from, with [ErrCredentialChoice].
	Credentials []CredentialChoice
	// Reason tells more, with [ErrNotDelegable] and the connect kinds.
	Reason string
	// ApprovalID with the approval kinds.
	ApprovalID string

	// Err is the cause below HTTP, if there is one.
	Err error
}

// Candidate is one of several grants that fit.
type Candidate struct {
	GrantID     string `json:"grant_id"`
	Label       string `json:"label"`
	Account     string `json:"account_identifier"`
	DisplayName string `json:"account_display_name"`
}

// CredentialChoice is one of several credentials of a managed secret.
type CredentialChoice struct {
	ID    string `json:"id"`
	Label string `json:"label"`
}

// Error implements error.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("alter vault: ")
	if e.Op != "" {
		b.WriteString(e.Op + ": ")
	}
	b.WriteString(string(e.Kind))
	if e.Status != 0 {
		fmt.Fprintf(&b, " (status %d", e.Status)
		if e.Code != "" {
			fmt.Fprintf(&b, ", %s", strconv.QuoteToASCII(e.Code))
		}
		b.WriteString(")")
	}
	if e.Message != "" {
		b.WriteString(": " + strconv.QuoteToASCII(e.Message))
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Is makes errors.Is true for the kind of e and the kinds above it.
func (e *Error) Is(target error) bool {
	kind, ok := target.(Kind)
	for k := e.Kind; ok && k != ""; k = k.parent() {
		if k == kind {
			return true
		}
	}
	return false
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func invalid(format string, args ...any) error {
	return &Error{Kind: ErrInvalid, Message: fmt.Sprintf(format, args...)}
}

// refusal reads the vault's error answer. Members of wrong types count as
// absent: what is sure is the status.
func refusal(op string, status int, header http.Header, body []byte) *Error {
	m := errorBody(body)
	code := m.str("error")
	e := &Error{
		Kind: kindOf(status, code), Op: op, Status: status, Code: code,
		Message: m.str("message"), Hint: m.str("hint"),
		Provider: m.str("provider_id"), GrantID: m.str("grant_id"),
		AgentID: m.str("agent_id"), AppUserID: m.str("app_user_id"),
		CorrelationID: cut(header.Get("X-Correlation-Id")),
		Missing:       m.list("missing"), Reason: m.str("detail_reason"), ApprovalID: m.str("approval_id"),
		AccountGiven: m.flag("account_was_provided"), CandidatesTruncated: m.flag("candidates_truncated"),
	}
	if n, ok := m.number("max_session_age_seconds"); ok {
		e.MaxSessionAge = time.Duration(min(n, maxSeconds)) * time.Second
	}
	for _, raw := range m.objects("candidates") {
		if c := (Candidate{raw.str("grant_id"), raw.str("label"), raw.str("account_identifier"), raw.str("account_display_name")}); c.GrantID != "" {
			e.Candidates = append(e.Candidates, c)
		}
	}
	inner := m.object("details")
	e.Credentials = credentialChoices(inner)
	if e.Reason == "" {
		e.Reason = inner.str("reason")
	}
	e.RetryAfter = retryAfter(header, m, e.Kind)
	return e
}

func credentialChoices(details members) []CredentialChoice {
	var out []CredentialChoice
	for _, raw := range details.objects("credentials") {
		if c := (CredentialChoice{raw.str("id"), raw.str("label")}); c.ID != "" && c.Label != "" {
			out = append(out, c)
		}
	}
	return out
}

// retryAfter prefers the header to the body: it is on every refusal that asks to
// wait. Only whole seconds count (RFC 9110 section 10.2.3).
func retryAfter(header http.Header, m members, kind Kind) time.Duration {
	limit := maxRetryAfter
	if kind == ErrQuotaExceeded {
		limit = maxQuotaRetryAfter
	}
	text := header.Get("Retry-After")
	if text != "" && strings.Trim(text, "0123456789") == "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n > int64(limit/time.Second) {
			return limit
		}
		return time.Duration(n) * time.Second
	}
	if n, ok := m.number("retry_after"); ok {
		return min(time.Duration(min(n, int64(limit/time.Second)))*time.Second, limit)
	}
	return 0
}

// members are those of a JSON object whose types are not to be trusted.
type members map[string]json.RawMessage

// errorBody reads an error answer: the object itself, or the one under "detail".
// Inner details stand behind the members of the object.
func errorBody(body []byte) members {
	var m members
	if json.Unmarshal(body, &m) != nil {
		return nil
	}
	if inner := m.object("detail"); inner != nil {
		m = inner
	}
	out := members{}
	for name, v := range m.object("details") {
		out[name] = v
	}
	for name, v := range m {
		out[name] = v
	}
	return out
}

func (m members) str(name string) string {
	var s string
	if json.Unmarshal(m[name], &s) != nil {
		return ""
	}
	return cut(s)
}

func (m members) flag(name string) bool {
	var b bool
	return json.Unmarshal(m[name], &b) == nil && b
}

// number is a whole one that is not negative.
func (m members) number(name string) (int64, bool) {
	var n int64
	if m[name] == nil || string(m[name]) == "null" || json.Unmarshal(m[name], &n) != nil || n < 0 {
		return 0, false
	}
	return n, true
}

// list returns a list of strings, all or nothing.
func (m members) list(name string) []string {
	var raw []*string
	if json.Unmarshal(m[name], &raw) != nil {
		return nil
	}
	var out []string
	for _, s := range raw[:min(len(raw), maxErrorList)] {
		if s == nil {
			return nil
		}
		out = append(out, cut(*s))
	}
	return out
}

func (m members) object(name string) members {
	var inner members
	if json.Unmarshal(m[name], &inner) != nil {
		return nil
	}
	return inner
}

func (m members) objects(name string) []members {
	var raw []json.RawMessage
	if json.Unmarshal(m[name], &raw) != nil {
		return nil
	}
	var out []members
	for _, r := range raw[:min(len(raw), maxErrorList)] {
		var inner members
		if json.Unmarshal(r, &inner) == nil && inner != nil {
			out = append(out, inner)
		}
	}
	return out
}

// cut bounds a text from outside.
func cut(s string) string { return cutTo(s, maxErrorText) }
