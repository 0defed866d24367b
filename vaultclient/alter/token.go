package alter

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
)

// Grant names a grant: either by ID, or by provider for the person whom the user
// token names.
type Grant struct {
	ID       string // a UUID
	Provider string

	// Account and Label choose among several of the person's grants at the
	// provider.
	Account string
	Label   string
	// AppUserID chooses among the people who delegated to an agent; for agents'
	// keys only.
	AppUserID string

	// UserToken is the person's token of the app's identity provider. Without
	// one the app's own grants are meant.
	UserToken vaultclient.Secret
}

// check demands exactly one way to name a grant.
func (g *Grant) check() error {
	switch {
	case (g.ID == "") == (g.Provider == ""):
		return invalid("a grant is named either by its id or by a provider")
	case g.ID != "" && !isUUID(strings.ToLower(g.ID)):
		return invalid("grant id %q: want a UUID", cut(g.ID))
	case g.ID != "" && (g.Account != "" || g.Label != "" || g.AppUserID != ""):
		return invalid("account, label and app user go with a provider, not with a grant id")
	}
	return nil
}

// grantBody is how calls name a grant.
type grantBody struct {
	GrantID   string `json:"grant_id,omitempty"`
	Provider  string `json:"provider_id,omitempty"`
	UserToken string `json:"user_token,omitempty"`
	AppUserID string `json:"app_user_id,omitempty"`
	Account   string `json:"account,omitempty"`
	Label     string `json:"label,omitempty"`
}

func (g *Grant) body() grantBody {
	return grantBody{strings.ToLower(g.ID), g.Provider, g.UserToken.Reveal(), g.AppUserID, g.Account, g.Label}
}

// Token is what the vault gives out in retrieve mode: a credential with how it
// goes into a request, and until when.
type Token struct {
	GrantID  string
	Provider string // as the vault names it; may be empty
	// Expiry of the token or of the grant, whichever is first. Zero: not said.
	Expiry time.Time
	Scopes []string
	// ScopeMismatch says that the grant is known to lack scopes: a 403 of the
	// provider is about that.
	ScopeMismatch bool

	generation string // "" when the vault does not count
	injection  injection
}

// String implements fmt.Stringer: fmt would print the credential.
func (t Token) String() string { return "token of grant " + t.GrantID }

// GoString implements fmt.GoStringer, which %#v uses.
func (t Token) GoString() string { return "&alter.Token(" + t.GrantID + ")" }

// injection says how a credential goes into a request.
type injection struct {
	secret vaultclient.Secret
	header string
	format string
	// additional are further parts of the credential by name.
	additional map[string]vaultclient.Secret
	rules      []injectionRule
}

// injectionRule puts one part of the credential into a header or the query.
type injectionRule struct {
	Target string // header or query_param
	Key    string
	Source string // token, or additional_credentials.<name>
}

// tokenRequest asks for a token for one request; the vault decides by method and
// URL, too.
type tokenRequest struct {
	grantBody
	Reason  *string        `json:"reason"`
	Request requestSummary `json:"request"`
}

type requestSummary struct {
	Method string `json:"method"`
	URL    string `json:"url"`
}

// Use says with whose grant a request goes to a provider, and why.
type Use struct {
	Grant
	// Reason for the vault's record; may be empty.
	Reason string
	// Caller in place of the client's own; nil for that.
	Caller *Caller
	// Hidden is a header of the request that its report leaves out; empty for
	// none.
	Hidden string
}

// fetchToken asks the vault for a token. It is shown where the request goes, but
// not the query.
func (c *Client) fetchToken(ctx context.Context, method string, u *url.URL, use *Use) (*Token, error) {
	k := call{
		method: http.MethodPost, path: "/sdk/token", caller: use.Caller, repeatable: true, refreshes: true,
		body: tokenRequest{use.body(), orNull(use.Reason), requestSummary{method, withoutQuery(u)}},
	}
	a, err := c.do(ctx, k)
	if err != nil {
		return nil, err
	}
	var wire tokenAnswer
	problem := wire.decode(a.body)
	if problem == "" {
		problem = wire.problem()
	}
	if problem != "" {
		return nil, k.malformed(a, problem)
	}
	return wire.token(c.cfg.Now()), nil
}

// tokenAnswer is the answer of /sdk/token. What a request would be built from is
// checked in full before any is.
type tokenAnswer struct {
	AccessToken   string
	TokenType     string
	ExpiresIn     *int64
	ExpiresAt     *string
	Scopes        []string
	GrantID       string
	Provider      string
	Generation    *string
	ScopeMismatch bool
	Header        string
	Format        string
	Additional    map[string]string
	Rules         []json.RawMessage

	rules  []injectionRule
	expiry time.Time
}

// decode reads the answer and says what is wrong with it, or "". It is stricter
// than encoding/json: names count in their own spelling alone, null only where
// it means something, and text that is no UTF-8 would be another token.
func (w *tokenAnswer) decode(body []byte) string {
	var m map[string]json.RawMessage
	if !utf8.Valid(body) || json.Unmarshal(body, &m) != nil || m == nil {
		return "the answer is no JSON object"
	}
	w.TokenType, w.Header, w.Format = "Bearer", "Authorization", "Bearer {token}"
	for _, f := range []struct {
		name     string
		into     any
		nullable bool
	}{
		{"access_token", &w.AccessToken, false},
		{"token_type", &w.TokenType, false},
		{"expires_in", &w.ExpiresIn, true},
		{"expires_at", &w.ExpiresAt, true},
		{"scopes", &w.Scopes, false},
		{"grant_id", &w.GrantID, false},
		{"provider_id", &w.Provider, false},
		{"token_generation", &w.Generation, true},
		{"scope_mismatch", &w.ScopeMismatch, false},
		{"injection_header", &w.Header, false},
		{"injection_format", &w.Format, false},
		{"additional_credentials", &w.Additional, true},
		{"additional_injections", &w.Rules, true},
	} {
		raw, ok := m[f.name]
		if ok && (json.Unmarshal(raw, f.into) != nil || !f.nullable && string(raw) == "null") {
			return f.name + " has a wrong type"
		}
	}
	return ""
}

// Limits of a token answer, in characters or entries.
const (
	maxIdentifier      = 255
	maxInjectionHeader = 60
	maxInjectionFormat = 200
	maxInjections      = 10
	maxInjectionKey    = 50
	maxInjectionSource = 100
	maxInjectionValue  = 8192
	awsFormat          = "AWS4-HMAC-SHA256"
)

// problem says what is wrong with the answer, or "". It never repeats a value.
func (w *tokenAnswer) problem() string {
	switch {
	case w.AccessToken == "" || hasBreak(w.AccessToken):
		return "access_token is empty or has line breaks"
	case !isUUID(w.GrantID):
		return "grant_id is no canonical UUID"
	case w.TokenType == "" || !isIdentifier(w.TokenType):
		return "token_type is invalid"
	case !isIdentifier(w.Provider):
		return "provider_id is invalid"
	case w.ExpiresIn != nil && *w.ExpiresIn < 0:
		return "expires_in is negative"
	case w.Generation != nil && !isUUID(*w.Generation):
		return "token_generation is no canonical UUID"
	}
	for _, s := range w.Scopes {
		if s == "" || s != strings.TrimSpace(s) || hasControl(s) {
			return "scopes are invalid"
		}
	}
	if w.ExpiresAt != nil {
		var err error
		if w.expiry, err = time.Parse(time.RFC3339Nano, *w.ExpiresAt); err != nil {
			return "expires_at is no time with an offset (RFC 3339)"
		}
	}
	return w.injectionProblem()
}

func (w *tokenAnswer) injectionProblem() string {
	switch {
	case !isInjectionHeader(w.Header):
		return "injection_header is invalid"
	case len(w.Format) > maxInjectionFormat || hasBreak(w.Format) ||
		!strings.HasPrefix(w.Format, awsFormat) && !strings.Contains(w.Format, "{token}"):
		return "injection_format is invalid"
	case len(w.Additional) > maxInjections || len(w.Rules) > maxInjections:
		return "too many additional credentials or injections"
	}
	for k, v := range w.Additional {
		if len(k) > maxInjectionKey || strings.TrimSpace(v) == "" || len(v) > maxInjectionValue || hasBreak(v) {
			return "additional_credentials are invalid"
		}
	}
	for _, raw := range w.Rules {
		rule, ok := parseRule(raw)
		if !ok {
			return "additional_injections are invalid"
		}
		w.rules = append(w.rules, rule)
	}
	return ""
}

// parseRule reads one injection; members that are not known refuse it.
func parseRule(raw json.RawMessage) (injectionRule, bool) {
	var m map[string]string
	if json.Unmarshal(raw, &m) != nil || len(m) != 3 {
		return injectionRule{}, false
	}
	rule := injectionRule{Target: m["target"], Key: m["key"], Source: m["value_source"]}
	ok := len(rule.Key) <= maxInjectionHeader && isName(rule.Key, "_-") && isSource(rule.Source)
	switch rule.Target {
	case "header":
		return rule, ok && !isForbiddenHeader(rule.Key)
	case "query_param":
		return rule, ok
	}
	return rule, false
}

func (w *tokenAnswer) token(now time.Time) *Token {
	t := &Token{
		GrantID: w.GrantID, Provider: w.Provider, Expiry: w.expiry, Scopes: w.Scopes,
		ScopeMismatch: w.ScopeMismatch, generation: or(w.Generation, ""),
		injection: injection{
			secret: vaultclient.NewSecret(w.AccessToken),
			header: w.Header, format: w.Format, rules: w.rules,
		},
	}
	if w.ExpiresIn != nil {
		if end := now.Add(time.Duration(min(*w.ExpiresIn, int64(1<<31))) * time.Second); t.Expiry.IsZero() || end.Before(t.Expiry) {
			t.Expiry = end
		}
	}
	for k, v := range w.Additional {
		if t.injection.additional == nil {
			t.injection.additional = make(map[string]vaultclient.Secret, len(w.Additional))
		}
		t.injection.additional[k] = vaultclient.NewSecret(v)
	}
	return t
}

func isInjectionHeader(s string) bool {
	return len(s) <= maxInjectionHeader && isName(s, "-") && !isForbiddenHeader(s)
}

// isName reports whether s is a letter, and then letters, digits and others.
func isName(s, others string) bool {
	for i, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || (r < '0' || r > '9') && !strings.ContainsRune(others, r)) {
			return false
		}
	}
	return s != ""
}

// isSource reports whether s names a part of the credential.
func isSource(s string) bool {
	name, ok := strings.CutPrefix(s, "additional_credentials.")
	if !ok {
		return s == "token"
	}
	return len(s) <= maxInjectionSource && isName(name, "_") && strings.ToLower(name) == name
}

// isForbiddenHeader reports whether a credential must not go into a header:
// those of the connection, of the body, and those that others trust.
func isForbiddenHeader(name string) bool {
	switch strings.ToLower(name) {
	case "host", "content-length", "content-type", "transfer-encoding", "connection", "keep-alive",
		"upgrade", "proxy-authenticate", "proxy-authorization", "te", "trailer", "cookie", "set-cookie",
		"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip",
		"x-http-method-override", "x-method-override", "www-authenticate",
		"strict-transport-security", "content-security-policy":
		return true
	}
	return false
}

func isIdentifier(s string) bool {
	return len(s) <= maxIdentifier && s == strings.TrimSpace(s) && !hasControl(s)
}

func hasBreak(s string) bool { return strings.ContainsAny(s, "\r\n\x00") }

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f })
}

func or(s *string, def string) string {
	if s == nil {
		return def
	}
	return *s
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// withoutQuery is what the vault is told of a URL: queries may hold what is
// nobody's business.
func withoutQuery(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}
