// Package altertest is a fake of the Alter Vault's backend for tests, in the
// manner of net/http/httptest: the vault's own API, the identity provider that
// people log in at, the pages where they agree, and a provider API that knows
// whose credential it was sent. State is in memory, nothing leaves the machine.
//
// It is strict: a call that the protocol does not allow is refused and kept as
// a [Violation], so that a test of a client fails by itself. It shares no code
// with the client that it judges.
package altertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// DefaultAPIKey is the key of [Config] when none is given: an app key with a
// right check sum, the one of the recorded signatures.
const DefaultAPIKey = "alter_rk_fakevaultfakevaultfake_2whbul" //nolint:gosec // opens nothing but this fake

// Config is what [New] needs. The zero value serves alice and bob.
type Config struct {
	// BaseURL is the origin that clients reach the fake at, without a slash at
	// its end. Required by New; Start sets it.
	BaseURL string
	// APIKey is the only one accepted. Default: DefaultAPIKey.
	APIKey string
	// Audience is that of the user tokens. Default: "altertest".
	Audience string
	// People may log in. Default: alice and bob.
	People []Person
	// Agents are the managed agents of the app. Default: none.
	Agents []Agent
	// Grants exist from the start, and again after each Reset and SetStep.
	Grants []Grant
	// Catalogue has the providers of the app. Default: [DefaultCatalogue].
	Catalogue []CatalogueItem
	// TokenLife is that of the user tokens of people who log in on the page.
	// Default: 1 h.
	TokenLife time.Duration
	// Now is the vault's clock. Default: time.Now.
	Now func() time.Time
	// Window is how far a call's timestamp may be off. Default: 5 minutes.
	Window time.Duration
}

// Person is somebody at the identity provider.
type Person struct {
	Name   string   `json:"name"` // the subject of the tokens
	Email  string   `json:"email,omitempty"`
	Groups []string `json:"groups,omitempty"`
}

// Agent is a managed agent of the app.
type Agent struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Vault is the fake. Its methods may be called from several goroutines.
type Vault struct {
	// URL is the origin that clients use as the vault's base URL.
	URL string

	config Config
	mux    *http.ServeMux
	idpKey *ecdsa.PrivateKey
	// own calls providers in proxy mode.
	own *http.Client

	mu sync.Mutex
	// changed is closed and made anew whenever something that a call may wait
	// for has happened.
	changed chan struct{}
	state
}

// state is what Reset throws away.
type state struct {
	world
	step       string
	nonces     map[string]bool
	counts     map[string]int
	calls      []Call
	hits       []Hit
	violations []Violation
	recorded   Recording // of the steps before the present one
}

// world is what each step finds anew.
type world struct {
	ids         int
	clockOffset time.Duration
	actors      map[string]string // caller type and caller to actor id
	sessions    map[string]*signIn
	logins      map[string]login // by code or refresh token
	connects    map[string]*connectSession
	grants      []*Grant
	approvals   []*approval
	faults      []*Fault
}

// New makes a fake vault. Serve it by [Vault.Serve], which sees the headers as
// they were sent, or by any other server.
func New(config Config) (*Vault, error) {
	if config.BaseURL == "" {
		return nil, fmt.Errorf("altertest: no base URL")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the identity provider's key: %w", err)
	}
	if config.APIKey == "" {
		config.APIKey = DefaultAPIKey
	}
	if config.Audience == "" {
		config.Audience = "altertest"
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.TokenLife == 0 {
		config.TokenLife = time.Hour
	}
	if config.Window == 0 {
		config.Window = 5 * time.Minute
	}
	if config.People == nil {
		config.People = []Person{{Name: "alice"}, {Name: "bob"}}
	}
	for i, p := range config.People {
		if p.Email == "" {
			config.People[i].Email = p.Name + "@example.com"
		}
	}
	v := &Vault{
		URL:    strings.TrimSuffix(config.BaseURL, "/"),
		config: config,
		idpKey: key,
		// On a connection that was used before, net/http would repeat a GET that
		// the provider cut off, and one call would be two hits.
		own:     &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}},
		changed: make(chan struct{}),
	}
	v.mux = v.routes()
	v.Reset()
	return v, nil
}

// Reset forgets everything but the configuration and the identity provider's
// key.
func (v *Vault) Reset() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.state = state{nonces: map[string]bool{}, counts: map[string]int{}}
	v.newWorld()
}

// newWorld forgets people's sessions, grants, approvals and faults, and makes
// the configured grants. The caller holds the lock.
func (v *Vault) newWorld() {
	v.world = world{
		actors:   map[string]string{},
		sessions: map[string]*signIn{},
		logins:   map[string]login{},
		connects: map[string]*connectSession{},
	}
	for _, g := range v.config.Grants {
		v.addGrant(g)
	}
	v.wake()
}

// ServeHTTP serves the vault, the identity provider, the pages, the provider
// and the controls.
func (v *Vault) ServeHTTP(w http.ResponseWriter, r *http.Request) { v.mux.ServeHTTP(w, r) }

// APIKey returns the key that the vault accepts.
func (v *Vault) APIKey() string { return v.config.APIKey }

// Issuer returns the issuer of the user tokens; its OpenID configuration lies
// below.
func (v *Vault) Issuer() string { return v.URL + "/idp" }

// Audience returns the audience of the user tokens.
func (v *Vault) Audience() string { return v.config.Audience }

// ProviderURL returns the address of the provider API in the given mode, see
// [Hit]; add any path.
func (v *Vault) ProviderURL(mode string) string { return v.URL + "/provider/" + mode }

// SetClockOffset moves the vault's clock away from Config.Now.
func (v *Vault) SetClockOffset(by time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.clockOffset = by
}

// Violations returns what the calls so far did against the protocol.
func (v *Vault) Violations() []Violation {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]Violation(nil), v.violations...)
}

// TakeViolations is Violations for a test that provoked them: they are
// forgotten, and Start does not fail the test for them.
func (v *Vault) TakeViolations() []Violation {
	v.mu.Lock()
	defer v.mu.Unlock()
	taken := v.violations
	v.violations = nil
	return taken
}

// now is the vault's clock; the caller holds the lock.
func (v *Vault) now() time.Time { return v.config.Now().Add(v.clockOffset).UTC() }

// wake lets those who wait look again; the caller holds the lock.
func (v *Vault) wake() {
	close(v.changed)
	v.changed = make(chan struct{})
}

// wait blocks until done, called with the lock held, says so, or the limit is
// over, or the caller is gone.
func (v *Vault) wait(r *http.Request, limit time.Duration, done func() bool) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		v.mu.Lock()
		over, changed := done(), v.changed
		v.mu.Unlock()
		if over {
			return
		}
		select {
		case <-changed:
		case <-timer.C:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// routes are all paths of the fake.
func (v *Vault) routes() *http.ServeMux {
	mux := http.NewServeMux()
	for _, e := range v.endpoints() {
		mux.Handle(e.pattern, v.signed(e))
	}
	mux.Handle("/sdk/", v.signed(endpoint{handle: noSuchPath}))
	mux.HandleFunc("GET /idp/.well-known/openid-configuration", v.openIDConfiguration)
	mux.HandleFunc("GET /idp/jwks.json", v.jwks)
	mux.HandleFunc("/idp/login", v.loginPage)
	mux.HandleFunc("/idp/authorize", v.authorize)
	mux.HandleFunc("POST /idp/token", v.idpToken)
	mux.HandleFunc("/connect", v.connectPage)
	mux.HandleFunc("/approve/{id}", v.approvePage)
	mux.HandleFunc("/provider/{mode}/{rest...}", v.provider)
	v.controls(mux)
	return mux
}
