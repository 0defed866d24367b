package authserver_test

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// FuzzToken sends any form to the token endpoint, which knows a code and a
// refresh token. The fuzzer has both, but neither the code's verifier nor the
// secret of the client whose refresh token it is: nothing gives it tokens, each
// answer is an error of RFC 6749, and after all that both are still good.
//
// Security TOK-07 to TOK-12, TOK-14, TOK-15, CODE-03, CODE-05 to CODE-07, CODE-13, REF-05.
func FuzzToken(f *testing.F) {
	e := fuzzEnv(f)
	verifier := rand.Text() + rand.Text()
	public := e.publicClient()
	code := e.newCode(public, "alice", "code_challenge", challengeOf(verifier))
	status, confidential := e.register(`{"redirect_uris":["` + callback + `"],"token_endpoint_auth_method":"client_secret_basic"}`)
	if status != http.StatusCreated {
		f.Fatalf("register = %d %v", status, confidential)
	}
	id, secret := confidential["client_id"].(string), confidential["client_secret"].(string)
	form := codeForm(id, e.newCode(id, "bob"))
	form.Set("client_secret", secret)
	_, answer, _ := e.token(form)
	refresh, _ := answer["refresh_token"].(string)
	words := strings.NewReplacer("$PUBLIC", public, "$CONFIDENTIAL", id, "$CODE", code, "$CHALLENGE", challengeOf(verifier),
		"$REFRESH", refresh, "$CALLBACK", url.QueryEscape(callback), "$RESOURCE", url.QueryEscape(e.base+testPath))
	for _, form := range tokenSeeds {
		f.Add(form, "")
		f.Add(form, "Basic "+base64.StdEncoding.EncodeToString([]byte("x:y")))
	}
	f.Add("grant_type=authorization_code&code=$CODE", "Bearer x")
	f.Add("grant_type=authorization_code&code=$CODE", "Basic !")
	f.Cleanup(func() { // nothing that was refused used anything up
		good := codeForm(public, code)
		good.Set("code_verifier", verifier)
		if status, answer, _ := e.token(good); status != http.StatusOK {
			f.Errorf("the code afterwards = %d %v", status, answer)
		}
		good = refreshForm(id, refresh)
		good.Set("client_secret", secret)
		if status, answer, _ := e.token(good); status != http.StatusOK {
			f.Errorf("the refresh token afterwards = %d %v", status, answer)
		}
	})
	f.Fuzz(func(t *testing.T, form, authorization string) {
		answer, text, ok := e.handle(t, http.MethodPost, "/token", "", words.Replace(form),
			"Content-Type", "application/x-www-form-urlencoded", "Authorization", authorization)
		if !ok {
			return
		}
		object := checkError(t, answer, text, "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client",
			"unsupported_grant_type", "invalid_scope", "invalid_target")
		if object["access_token"] != nil || object["refresh_token"] != nil {
			t.Errorf("tokens in %s", text)
		}
		basic := strings.HasPrefix(strings.ToLower(authorization), "basic ")
		if answer.StatusCode == http.StatusUnauthorized && basic && answer.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("401 without a challenge (RFC 6749 section 5.2): %s", text)
		}
	})
}

var tokenSeeds = []string{
	"", "grant_type=", "grant_type=password&username=alice&password=ecila", "grant_type=client_credentials&client_id=$PUBLIC",
	"grant_type=authorization_code", "grant_type=authorization_code&client_id=$PUBLIC&code=$CODE",
	"grant_type=authorization_code&client_id=$PUBLIC&code=$CODE&code_verifier=",
	"grant_type=authorization_code&client_id=$PUBLIC&code=$CODE&code_verifier=$CHALLENGE&redirect_uri=$CALLBACK&resource=$RESOURCE",
	"grant_type=authorization_code&client_id=$CONFIDENTIAL&code=$CODE&code_verifier=" + verifier + "&redirect_uri=$CALLBACK",
	"grant_type=authorization_code&client_id=$PUBLIC&code=x&code_verifier=" + verifier,
	"grant_type=authorization_code&client_id=$PUBLIC&code=$CODE&code_verifier=" + verifier + "&redirect_uri=https://evil.example",
	"grant_type=authorization_code&client_id=$PUBLIC&client_id=$PUBLIC&code=$CODE", "grant_type=refresh_token&client_id=$PUBLIC&refresh_token=$REFRESH",
	"grant_type=refresh_token&client_id=$CONFIDENTIAL&refresh_token=$REFRESH", "grant_type=refresh_token&client_id=$CONFIDENTIAL&refresh_token=$REFRESH&client_secret=x",
	"grant_type=refresh_token&client_id=$CONFIDENTIAL&refresh_token=$REFRESH&client_secret=", "grant_type=refresh_token&client_id=$PUBLIC&refresh_token=$CODE",
	"grant_type=refresh_token&client_id=https://client.example/c.json&refresh_token=$REFRESH", "grant_type=refresh_token&client_id=$PUBLIC&refresh_token=%00",
	"grant_type=urn%3aietf%3aparams%3aoauth%3agrant-type%3adevice_code&client_id=$PUBLIC", "%zz", "a;b", "grant_type=authorization_code\x00", "=&=&=",
}
