package vaultclient

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Ways in which the operator's client authenticates at a token endpoint (RFC
// 6749 section 2.3.1).
const (
	AuthPost  = "client_secret_post"
	AuthBasic = "client_secret_basic"
	AuthNone  = "none"
)

const (
	tokenTimeout  = 15 * time.Second
	maxTokenReply = 1 << 20 // bytes
	maxErrorText  = 200     // bytes of a provider's text that go into an error

	grantRefresh = "refresh_token" // RFC 6749 section 6
)

// Tokens is what a token endpoint gave.
type Tokens struct {
	AccessToken  Secret
	RefreshToken Secret        // zero: none, or on a refresh the old one stays
	ExpiresIn    time.Duration // zero: not said
	// Scopes as the provider reports them; nil when it does not, which means
	// that they are what was asked for (RFC 6749 section 5.1).
	Scopes []string
}

// TokenError is the refusal of a token endpoint (RFC 6749 section 5.2). From
// [Provider.Exchange] and [Provider.Refresh] it holds nothing of the secrets that
// the request had, even if the provider repeats them.
type TokenError struct {
	Code        string // such as invalid_grant
	Description string
	Status      int
}

// Error implements error. The provider's words are shortened.
func (e *TokenError) Error() string {
	return fmt.Sprintf("token endpoint answered %d %s %s", e.Status, clip(e.Code), clip(e.Description))
}

// hide cuts out what a request held: some providers repeat in their description
// the token that they do not like, and the description goes into the log.
func (e *TokenError) hide(secrets ...string) {
	e.Code, e.Description = hide(e.Code, secrets...), hide(e.Description, secrets...)
}

// hide cuts secrets out of a provider's text, as they are and as in a form.
func hide(text string, secrets ...string) string {
	for _, secret := range secrets {
		if secret == "" {
			continue
		}
		for _, form := range []string{secret, url.QueryEscape(secret)} {
			text = strings.ReplaceAll(text, form, "[hidden]")
		}
	}
	return text
}

// Dead reports whether the grant itself was refused, so that only the person
// can mend it; any other refusal is about the operator's client.
func (e *TokenError) Dead() bool {
	return slices.Contains([]string{
		"invalid_grant",                                                               // RFC 6749
		"bad_refresh_token",                                                           // GitHub
		"invalid_refresh_token", "token_revoked", "token_expired", "account_inactive", // Slack
	}, e.Code)
}

// Client names the OAuth client and the provider that a grant was made with. A
// grant of one is no good, and none of the business, of another: a
// configuration may use the same name for both.
func (p *Provider) Client() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q", p.AuthorizationURL, p.TokenURL, p.ClientID))
	return hex.EncodeToString(sum[:8])
}

// AuthorizeURL returns where the browser goes to grant (RFC 6749 section
// 4.1.1). verifier is that of RFC 7636.
func (p *Provider) AuthorizeURL(redirectURI, state, verifier string, scopes []string) string {
	q := make(url.Values)
	for name, value := range p.AuthorizeParams {
		q.Set(name, value)
	}
	q.Set("response_type", "code")
	q.Set("client_id", p.ClientID)
	q.Set("redirect_uri", redirectURI)
	q.Set("state", state)
	separator, param := p.ScopeSeparator, p.ScopeParam
	if separator == "" {
		separator = " "
	}
	if param == "" {
		param = "scope"
	}
	if len(scopes) > 0 {
		q.Set(param, strings.Join(scopes, separator))
	}
	if !p.NoPKCE {
		sum := sha256.Sum256([]byte(verifier))
		q.Set("code_challenge", base64.RawURLEncoding.EncodeToString(sum[:]))
		q.Set("code_challenge_method", "S256")
	}
	joint := "?"
	if strings.Contains(p.AuthorizationURL, "?") {
		joint = "&"
	}
	return p.AuthorizationURL + joint + q.Encode()
}

// Exchange redeems an authorization code. The error is a [*TokenError] when the
// provider refused, and [ErrUnavailable] when it did not answer.
func (p *Provider) Exchange(ctx context.Context, rt http.RoundTripper, code, redirectURI, verifier string) (*Tokens, error) {
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirectURI}}
	if !p.NoPKCE {
		form.Set("code_verifier", verifier)
	}
	return p.askForTokens(ctx, rt, form)
}

// Refresh gets new tokens; errors as for [Provider.Exchange].
func (p *Provider) Refresh(ctx context.Context, rt http.RoundTripper, refreshToken Secret) (*Tokens, error) {
	return p.askForTokens(ctx, rt, url.Values{"grant_type": {grantRefresh}, "refresh_token": {refreshToken.Reveal()}})
}

func (p *Provider) askForTokens(ctx context.Context, rt http.RoundTripper, form url.Values) (*Tokens, error) {
	status, contentType, body, err := p.postForm(ctx, rt, p.TokenURL, form)
	if err != nil {
		return nil, err
	}
	if status >= http.StatusInternalServerError || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout {
		return nil, fmt.Errorf("%w: token endpoint answered %d", ErrUnavailable, status)
	}
	tokens, err := p.readTokens(status, contentType, body, form.Get("grant_type") == grantRefresh)
	var refused *TokenError
	if errors.As(err, &refused) {
		secret := p.ClientSecret.Reveal()
		refused.hide(form.Get("code"), form.Get("code_verifier"), form.Get("refresh_token"), secret,
			base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(p.ClientID)+":"+url.QueryEscape(secret))))
	}
	return tokens, err
}

// postForm posts as the operator's client and reads a bounded answer. Redirects
// are not followed: the form holds secrets.
func (p *Provider) postForm(ctx context.Context, rt http.RoundTripper, target string, form url.Values) (int, string, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	if p.TokenAuth != AuthBasic {
		form.Set("client_id", p.ClientID)
		if p.TokenAuth != AuthNone {
			form.Set("client_secret", p.ClientSecret.Reveal())
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, "", nil, fmt.Errorf("making a token request: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if p.TokenAuth == AuthBasic { // both parts are form-encoded first
		req.SetBasicAuth(url.QueryEscape(p.ClientID), url.QueryEscape(p.ClientSecret.Reveal()))
	}
	return send(rt, req)
}

// send sends a request to a provider's own endpoints and returns status, content
// type and body of the answer, which is bounded. Redirects are not followed.
func send(rt http.RoundTripper, req *http.Request) (int, string, []byte, error) {
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return 0, "", nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxTokenReply+1))
	if err != nil {
		return 0, "", nil, fmt.Errorf("%w: reading the answer: %w", ErrUnavailable, err)
	}
	if len(body) > maxTokenReply {
		return 0, "", nil, fmt.Errorf("%w: the answer is longer than %d bytes", ErrUnavailable, maxTokenReply)
	}
	return resp.StatusCode, resp.Header.Get("Content-Type"), body, nil
}

// tokenReply is the answer of a token endpoint, with what real ones add.
type tokenReply struct {
	AccessToken  string          `json:"access_token"`
	RefreshToken string          `json:"refresh_token"`
	ExpiresIn    json.RawMessage `json:"expires_in"` // a number, or a number in a string
	Scope        *string         `json:"scope"`
	Error        json.RawMessage `json:"error"` // a string; some APIs put an object here
	Description  string          `json:"error_description"`
	OK           *bool           `json:"ok"` // Slack
}

// readTokens makes tokens of an answer. Some providers report errors with
// status 200. refresh says that a refresh token was sent.
func (p *Provider) readTokens(status int, contentType string, body []byte, refresh bool) (*Tokens, error) {
	var whole tokenReply
	if mediaType, _, _ := mime.ParseMediaType(contentType); mediaType == "application/x-www-form-urlencoded" {
		values, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, fmt.Errorf("%w: token endpoint answered an invalid form", ErrUnavailable)
		}
		whole = replyOfForm(values)
	} else if err := json.Unmarshal(body, &whole); err != nil {
		if status >= http.StatusBadRequest {
			return nil, &TokenError{Description: "and no JSON", Status: status}
		}
		return nil, fmt.Errorf("%w: token endpoint answered %d and no JSON", ErrUnavailable, status)
	}
	if code := errorCode(whole.Error); code != "" || status >= http.StatusBadRequest || whole.OK != nil && !*whole.OK {
		return nil, &TokenError{Code: code, Description: whole.Description, Status: status}
	}
	reply := whole
	if p.TokenField != "" {
		var err error
		if reply, err = nestedReply(body, p.TokenField); err != nil {
			return nil, err
		}
		// Slack answers a refresh at the top level. In the answer to a code there
		// is a bot's token, which acts for nobody.
		if reply.AccessToken == "" && refresh {
			reply = whole
		}
	}
	if reply.AccessToken == "" {
		return nil, fmt.Errorf("%w: token endpoint gave no access_token", ErrUnavailable)
	}
	return reply.tokens(), nil
}

func (r *tokenReply) tokens() *Tokens {
	t := &Tokens{AccessToken: NewSecret(r.AccessToken), RefreshToken: NewSecret(r.RefreshToken)}
	seconds, err := strconv.ParseFloat(strings.Trim(string(r.ExpiresIn), `"`), 64)
	if err == nil && seconds > 0 && seconds < 1e9 {
		t.ExpiresIn = time.Duration(seconds) * time.Second
	}
	if r.Scope != nil {
		t.Scopes = splitScopes(*r.Scope)
		if t.Scopes == nil {
			t.Scopes = []string{}
		}
	}
	return t
}

// nestedReply finds the object in the answer that holds the tokens, by the path
// of members to it. One that is not there is empty.
func nestedReply(body []byte, path string) (tokenReply, error) {
	raw := json.RawMessage(body)
	for name := range strings.SplitSeq(path, ".") {
		var members map[string]json.RawMessage
		if err := json.Unmarshal(raw, &members); err != nil {
			return tokenReply{}, fmt.Errorf("%w: token endpoint gave no object with %s", ErrUnavailable, name)
		}
		if raw = members[name]; raw == nil {
			return tokenReply{}, nil
		}
	}
	var reply tokenReply
	if err := json.Unmarshal(raw, &reply); err != nil {
		return tokenReply{}, fmt.Errorf("%w: token endpoint gave no object %s", ErrUnavailable, path)
	}
	return reply, nil
}

func replyOfForm(v url.Values) tokenReply {
	r := tokenReply{
		AccessToken: v.Get("access_token"), RefreshToken: v.Get("refresh_token"),
		ExpiresIn: json.RawMessage(v.Get("expires_in")), Description: v.Get("error_description"),
	}
	if v.Has("scope") {
		scope := v.Get("scope")
		r.Scope = &scope
	}
	if code := v.Get("error"); code != "" {
		r.Error = json.RawMessage(strconv.Quote(code))
	}
	return r
}

func errorCode(raw json.RawMessage) string {
	if len(raw) == 0 || string(raw) == "null" || string(raw) == `""` {
		return ""
	}
	var code string
	if err := json.Unmarshal(raw, &code); err != nil {
		return "error"
	}
	return code
}

// IsDead reports whether err says that a grant is dead.
func IsDead(err error) bool {
	var refused *TokenError
	return errors.As(err, &refused) && refused.Dead()
}

// clip shortens a text from outside that goes into errors and logs.
func clip(s string) string { return s[:min(len(s), maxErrorText)] }
