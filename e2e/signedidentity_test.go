package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/browser"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

const ordersAudience = "https://orders.example.com"

// ordersTools are tools of an API that wants to know who calls.
const ordersTools = `
	tool list_orders {
		description "Your orders"
		signed_identity ` + ordersAudience + `
		get http://API/orders
	}
	tool list_moved {
		description "Your orders, which are elsewhere"
		signed_identity ` + ordersAudience + ` Authorization
		get http://API/moved
	}
	tool remember {
		description "Keeps a note"
		signed_identity ` + ordersAudience + ` X-Who
		post http://API/partitions/{user.id}/notes
	}
`

// ordersSite has routes to the same API beside the endpoint, one of them for
// everybody.
const ordersSite = `
	alter_auth /orders/* {
		signed_identity ` + ordersAudience + `
	}
	alter_auth /bearer/* {
		optional
		signed_identity ` + ordersAudience + ` Authorization
	}
	@orders path /orders/* /bearer/*
	reverse_proxy @orders API
`

// api is a service that keeps what it was asked.
type api struct {
	*httptest.Server
	mu   sync.Mutex
	last []*http.Request
}

func newAPI(t *testing.T) *api {
	t.Helper()
	a := new(api)
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.last = append(a.last, r.Clone(r.Context()))
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{}`))
	}))
	t.Cleanup(a.Close)
	return a
}

// with fills in where the API is.
func (a *api) with(lines string) string {
	return strings.ReplaceAll(lines, "API", strings.TrimPrefix(a.URL, "http://"))
}

// take returns the requests since the last time.
func (a *api) take() []*http.Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	taken := a.last
	a.last = nil
	return taken
}

// only returns the only request since the last time.
func (a *api) only(t *testing.T) *http.Request {
	t.Helper()
	taken := a.take()
	if len(taken) != 1 {
		t.Fatalf("the API got %d requests, want one", len(taken))
	}
	return taken[0]
}

// said is a statement of who calls.
type said struct {
	Typ, Alg string // of its header
	Iss      string
	Aud      string
	Sub      string
	JTI      string `json:"jti"`
	IAT      int64  `json:"iat"`
	EXP      int64  `json:"exp"`
	Client   string `json:"client_id"`
	Email    string
	Verified bool `json:"email_verified"`
	Alter    struct {
		App     string `json:"app_id"`
		Subject string `json:"external_subject_id"`
	}
}

// checked does what the API does with a statement: it verifies the signature by
// the keys at that URL, knowing nothing of the program that signed.
func checked(t *testing.T, jwks, token string) said {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no compact JWS", token)
	}
	var raw [3][]byte
	for i, part := range parts {
		var err error
		if raw[i], err = base64.RawURLEncoding.DecodeString(part); err != nil {
			t.Fatalf("part %d: %v", i, err)
		}
	}
	var head struct{ Typ, Alg, Kid string }
	var s said
	if err := json.Unmarshal(raw[0], &head); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw[1], &s); err != nil {
		t.Fatal(err)
	}
	key, digest := publicKey(t, jwks, head.Kid), sha256.Sum256([]byte(parts[0]+"."+parts[1]))
	if len(raw[2]) != 64 || !ecdsa.Verify(key, digest[:], new(big.Int).SetBytes(raw[2][:32]), new(big.Int).SetBytes(raw[2][32:])) {
		t.Fatal("the signature is wrong")
	}
	s.Typ, s.Alg = head.Typ, head.Alg
	return s
}

// publicKey returns a key of a key set (RFC 7517).
func publicKey(t *testing.T, jwks, id string) *ecdsa.PublicKey {
	t.Helper()
	resp, err := http.Get(jwks)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var set struct {
		Keys []struct{ Kid, Kty, Crv, X, Y string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&set); err != nil {
		t.Fatalf("the keys at %s: %v", jwks, err)
	}
	for _, k := range set.Keys {
		if k.Kid != id || k.Kty != "EC" || k.Crv != "P-256" {
			continue
		}
		x, errX := base64.RawURLEncoding.DecodeString(k.X)
		y, errY := base64.RawURLEncoding.DecodeString(k.Y)
		if errX != nil || errY != nil {
			t.Fatalf("key %s is malformed", id)
		}
		return &ecdsa.PublicKey{Curve: elliptic.P256(), X: new(big.Int).SetBytes(x), Y: new(big.Int).SetBytes(y)}
	}
	t.Fatalf("no key %q at %s", id, jwks)
	return nil
}

// TestSignedIdentity has an API of the operator check by itself who calls, by a
// tool and by a route beside the endpoint.
//
// Security JWT-02.
func TestSignedIdentity(t *testing.T) {
	a := newAPI(t)
	s := harness.NewServer(t, "testdata", withSettings(a.with(ordersTools)), "E2E_SITE="+a.with(ordersSite))
	origin, keys := strings.TrimSuffix(s.Endpoint, "/mcp"), s.Endpoint+"/jwks.json"
	subjects, seen := make(map[string]string), make(map[string]bool)
	for _, person := range []browser.Person{alice, bob} {
		c := logIn(t, s, newBrowser(t, s, person), mcpclient.Modern)
		for _, ask := range []func(){
			func() { call(t, c, "list_orders") },
			func() { rest(t, origin, "/orders/x", c.Tokens.AccessToken) },
		} {
			ask()
			r := a.only(t)
			got := checked(t, keys, r.Header.Get("X-Alter-Identity"))
			if seen[got.JTI] || got.JTI == "" || got.EXP-got.IAT > 300 || got.EXP <= got.IAT || got.Sub == "" || got.Client == "" {
				t.Errorf("%+v, want one for this request alone, good for five minutes at most", got)
			}
			seen[got.JTI] = true
			if before := subjects[person.Name]; before != "" && before != got.Sub {
				t.Errorf("%s is %s by the tool and %s by the route", person.Name, before, got.Sub)
			}
			subjects[person.Name] = got.Sub
			want := said{
				Typ: "alter-mcp-identity+jwt", Alg: "ES256", Iss: s.Endpoint, Aud: ordersAudience, Email: person.Name + "@example.com", Verified: true,
				Sub: got.Sub, JTI: got.JTI, IAT: got.IAT, EXP: got.EXP, Client: got.Client,
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the API is told (-want +got):\n%s", diff)
			}
			if r.Header.Get("Authorization") != "" {
				t.Error("the API got the access token, too")
			}
		}
	}
	if subjects["alice"] == subjects["bob"] {
		t.Errorf("people are called %q", subjects)
	}
	c := logIn(t, s, newBrowser(t, s, alice), mcpclient.Legacy)
	t.Run("a redirect is not followed", func(t *testing.T) {
		if result := call(t, c, "list_moved"); !result.IsError {
			t.Errorf("a redirect is a result: %s", result.Text())
		}
		r := a.only(t)
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if got := checked(t, keys, token); !ok || got.Sub != subjects["alice"] || r.URL.Path != "/moved" {
			t.Errorf("%s got %+v", r.URL.Path, got)
		}
	})
	t.Run("a statement gives no access", func(t *testing.T) {
		call(t, c, "list_orders")
		if resp, _ := rest(t, origin, "/orders/x", a.only(t).Header.Get("X-Alter-Identity")); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("status %d with a statement for an access token, want 401", resp.StatusCode)
		}
	})
	t.Run("nobody else can tell", func(t *testing.T) {
		nobodyElseTells(t, a, origin, c.Tokens.AccessToken, subjects["alice"], keys)
	})
}

// nobodyElseTells sends statements that others made to routes for the API.
func nobodyElseTells(t *testing.T, a *api, origin, access, alice, keys string) {
	send := func(path string, header ...string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, origin+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			req.Header[header[i]] = append(req.Header[header[i]], header[i+1])
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	send("/orders/x", "Authorization", "Bearer "+access, "x-alter-identity", "forged", "X-Alter-Identity", "forged", "Connection", "X-Alter-Identity", "X_Alter_Identity", "forged")
	r := a.only(t)
	got := r.Header["X-Alter-Identity"]
	for name, values := range r.Header {
		if slices.Contains(values, "forged") { // X_Alter_Identity is the same to many programs
			t.Errorf("the API believes %s: %q", name, values)
		}
	}
	if len(got) != 1 || checked(t, keys, got[0]).Sub != alice {
		t.Errorf("the API got %q", got)
	}
	send("/bearer/x", "Authorization", "Bearer "+access)
	if got := a.only(t).Header["Authorization"]; len(got) != 1 || checked(t, keys, strings.TrimPrefix(got[0], "Bearer ")).Sub != alice {
		t.Errorf("the API got %q", got)
	}
	for name, forged := range map[string]string{"none": "", "of another scheme": "Basic eDp5", "that is not ours to read": "Bearer\tforged"} {
		send("/bearer/x", "Authorization", forged)
		if got := a.only(t).Header["Authorization"]; len(got) != 0 {
			t.Errorf("credentials %s: the API got %q", name, got)
		}
	}
}

// TestMemoryPartition is what a tool relies on that keeps something for each
// person: one key for all clients and times, and another for anybody else and at
// any other realm.
func TestMemoryPartition(t *testing.T) {
	a := newAPI(t)
	other := "alter_mcp /other {\nimport local.identity\n" + a.with(ordersTools) + "}\n" +
		"alter_mcp /shared {\nrealm acme\nimport local.identity\n" + a.with(ordersTools) + "}\n"
	s := harness.NewServer(t, "testdata", withSettings("realm acme", a.with(ordersTools)), "E2E_SITE="+other)
	partition := func(endpoint string, person browser.Person, revision string) string {
		t.Helper()
		c := logInBy(t, mcpclient.New(endpoint, revision), newBrowser(t, s, person))
		call(t, c, "remember")
		r := a.only(t)
		sub := checked(t, endpoint+"/jwks.json", r.Header.Get("X-Who")).Sub
		if r.URL.Path != "/partitions/"+sub+"/notes" {
			t.Errorf("the partition of %s is in %s", sub, r.URL.Path)
		}
		return sub
	}
	beside := func(path string) string { return strings.TrimSuffix(s.Endpoint, "/mcp") + path }
	first := partition(s.Endpoint, alice, mcpclient.Modern)
	if strings.Contains(strings.ToLower(first), "alice") || len(first) < 20 {
		t.Errorf("the partition %q tells whose it is, or can be guessed", first)
	}
	s.Kill()
	s.Restart()
	for name, got := range map[string]string{
		"another client, after a restart": partition(s.Endpoint, alice, mcpclient.Legacy),
		"another endpoint of the realm":   partition(beside("/shared"), alice, mcpclient.Modern),
	} {
		if got != first {
			t.Errorf("%s: partition %s, want %s", name, got, first)
		}
	}
	for name, got := range map[string]string{
		"another person":                     partition(s.Endpoint, bob, mcpclient.Modern),
		"the same person in another realm":   partition(beside("/other"), alice, mcpclient.Modern),
		"another person in a realm's others": partition(beside("/shared"), bob, mcpclient.Modern),
	} {
		if got == first {
			t.Errorf("%s: the same partition", name)
		}
	}
}

// TestAlterSignedIdentity has the vault sign who calls.
func TestAlterSignedIdentity(t *testing.T) {
	a := newAPI(t)
	v, s := newAlter(t, "E2E_TOOLS="+strings.ReplaceAll(a.with(ordersTools), "\n", "\n\t\t"), "E2E_SITE="+a.with(ordersSite))
	origin := strings.TrimSuffix(s.Endpoint, "/mcp")
	subjects := make(map[string]string)
	for _, person := range []browser.Person{alice, bob} {
		c := logIn(t, s, newBrowser(t, s, person), mcpclient.Modern)
		for _, ask := range []func(){
			func() { call(t, c, "list_orders") },
			func() { call(t, c, "list_orders") },
			func() { rest(t, origin, "/orders/x", c.Tokens.AccessToken) },
		} {
			ask()
			got := checked(t, v.Issuer+"/jwks.json", a.only(t).Header.Get("X-Alter-Identity"))
			subjects[person.Name] = got.Sub
			if got.Typ != "alter-identity+jwt" || got.Aud != ordersAudience || got.Alter.Subject != person.Name || got.Alter.App == "" ||
				!strings.HasPrefix(got.Sub, "alter:user:") || got.EXP-got.IAT > 300 {
				t.Errorf("of %s the API is told %+v", person.Name, got)
			}
		}
		if resp, _ := rest(t, origin, "/orders/x", "x"); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("status %d without a good token, want 401", resp.StatusCode)
		}
	}
	if subjects["alice"] == subjects["bob"] {
		t.Errorf("people are called %q", subjects)
	}
	if n := len(v.Calls("/sdk/identity/assert")); n != 2 {
		t.Errorf("the vault was asked %d times, want once for each person", n)
	}
}

// TestAlterSignedIdentityWithAGrant sends a statement beside the person's grant:
// by this server and by the vault, whose record does not have it.
func TestAlterSignedIdentityWithAGrant(t *testing.T) {
	const tools = `
		tool list_here {
			description "Orders, for your Google account"
			provider google
			signed_identity ` + ordersAudience + ` X-Who
			get http://{$E2E_API}/provider/ok/here
		}
		tool list_there {
			description "The same, by the vault"
			provider google
			mode proxy
			signed_identity ` + ordersAudience + ` X-Who
			get http://{$E2E_API}/provider/ok/there
		}
`
	v := harness.StartVault(t)
	t.Cleanup(v.CheckProtocol)
	s := harness.NewAlterServer(t, v, "testdata/alter/server.Caddyfile", "E2E_VAULT=long", "E2E_TOOLS="+strings.ReplaceAll(tools, "{$E2E_API}", v.Host()))
	b := newBrowser(t, s, alice)
	c := logIn(t, s, b, mcpclient.Modern)
	connect(t, b, call(t, c, "list_here").ConnectURL())
	for _, tool := range []string{"list_here", "list_there"} {
		if result := call(t, c, tool); result.IsError {
			t.Fatalf("%s fails: %s", tool, result.Text())
		}
	}
	type header struct{ Name, Value string }
	var hits []struct {
		Path, Person string
		Credentials  int
		Header       []header
	}
	v.Get("provider", &hits)
	var statement string
	for _, hit := range hits {
		at := slices.IndexFunc(hit.Header, func(h header) bool { return h.Name == "X-Who" })
		if at < 0 {
			t.Fatalf("%s carries no statement: %+v", hit.Path, hit.Header)
		}
		statement = hit.Header[at].Value
		if got := checked(t, v.Issuer+"/jwks.json", statement); got.Alter.Subject != "alice" || hit.Person != "alice" || hit.Credentials != 1 {
			t.Errorf("%s is of %s and says %+v", hit.Path, hit.Person, got)
		}
	}
	if len(hits) != 2 {
		t.Errorf("the API got %d requests, want one of each tool", len(hits))
	}
	record := string(waitForAudit(t, v).Body)
	if !strings.Contains(record, "/provider/ok/here") || strings.Contains(record, statement) || strings.Contains(strings.ToLower(record), "x-who") {
		t.Errorf("the vault's record is %s, want that of list_here without the statement", record)
	}
}
