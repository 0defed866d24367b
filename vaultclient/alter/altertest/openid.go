package altertest

import (
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"net/url"
	"strings"
)

// login is a person's at the identity provider, for a client of OpenID Connect
// that is the vault's audience.
type login struct {
	person, nonce, challenge, redirect string
}

// authorize is the authorization endpoint of the identity provider (OpenID
// Connect Core 1.0 section 3.1.2): a person logs in, or cancels. Any redirect URI
// will do.
func (v *Vault) authorize(w http.ResponseWriter, r *http.Request) {
	back, err := url.Parse(r.FormValue("redirect_uri"))
	if err != nil || back.Host == "" || r.FormValue("client_id") != v.config.Audience || r.FormValue("response_type") != "code" {
		page(w, http.StatusBadRequest, "Malformed request", nil)
		return
	}
	answer := url.Values{"state": {r.FormValue("state")}}
	switch r.FormValue("decision") {
	case "":
		ask := &form{Field: "user", Allow: "Log in"}
		for _, name := range []string{"redirect_uri", "client_id", "response_type", "state", "nonce", "code_challenge"} {
			ask.Fields = append(ask.Fields, [2]string{name, r.FormValue(name)})
		}
		for _, p := range v.config.People {
			ask.Choices = append(ask.Choices, p.Name)
		}
		page(w, http.StatusOK, "Log in", ask)
		return
	case "allow":
		answer.Set("code", v.keepLogin(login{
			person: r.FormValue("user"), nonce: r.FormValue("nonce"), challenge: r.FormValue("code_challenge"), redirect: r.FormValue("redirect_uri"),
		}))
	default:
		answer.Set("error", "access_denied")
	}
	back.RawQuery = answer.Encode()
	http.Redirect(w, r, back.String(), http.StatusSeeOther)
}

// keepLogin returns what a login is found by once.
func (v *Vault) keepLogin(l login) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	key := rand.Text()
	v.logins[key] = l
	return key
}

// idpToken is the token endpoint: codes with PKCE, and refresh tokens, which
// rotate. Clients need no secret.
func (v *Vault) idpToken(w http.ResponseWriter, r *http.Request) {
	key, again := r.FormValue("code"), r.FormValue("grant_type") == "refresh_token"
	if again {
		key = r.FormValue("refresh_token")
	}
	v.mu.Lock()
	l, ok := v.logins[key]
	delete(v.logins, key)
	v.counts[r.URL.Path+" "+r.FormValue("grant_type")]++
	token := ""
	if ok {
		token = v.idToken(l.person, v.config.TokenLife, l.nonce)
	}
	v.mu.Unlock()
	sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	if !again && (l.redirect != r.FormValue("redirect_uri") || l.challenge != base64url.EncodeToString(sum[:])) {
		ok = false
	}
	if !ok || strings.TrimSpace(l.person) == "" {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		writeJSON(w, map[string]string{"error": "invalid_grant"})
		return
	}
	writeJSON(w, map[string]any{
		"access_token": token, "id_token": token, "token_type": "Bearer",
		"expires_in": int(v.config.TokenLife.Seconds()), "refresh_token": v.keepLogin(l),
	})
}
