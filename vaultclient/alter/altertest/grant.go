package altertest

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// States of a grant. The empty one is active.
const (
	Active            = "active"
	Expired           = "expired"
	Revoked           = "revoked"
	Deleted           = "deleted"
	CredentialRevoked = "credential_revoked" //nolint:gosec // a state, no credential
)

// Grant is a person's permission at a provider, or a managed secret's. Fields
// that are not set get the values named.
type Grant struct {
	ID       string   `json:"id"`       // a UUID derived from person, provider, account and label
	Person   string   `json:"person"`   // empty: the app's own
	Provider string   `json:"provider"` // or the slug of a managed secret
	Account  string   `json:"account"`  // <person>@<provider>
	Label    string   `json:"label,omitempty"`
	Scopes   []string `json:"scopes"` // ["read"]
	State    string   `json:"state"`  // active
	// Token is the credential: recognisable and unlike all others.
	Token      string `json:"token"`
	Generation string `json:"generation"`
	// Lifetime is that of the token. Default: 1 h; negative: unknown.
	Lifetime time.Duration `json:"lifetime,omitempty"`
	Injection
	// ScopeMismatch is told with the token; a scope report sets it.
	ScopeMismatch bool `json:"scope_mismatch,omitempty"`
	// NeedsProxy is the code with which the token path refuses the grant, such
	// as restricted_grant_requires_proxy.
	NeedsProxy string `json:"needs_proxy,omitempty"`
	// Gates is how many people must approve a call; above 0 the token path
	// refuses with hitl_grant_requires_proxy.
	Gates int `json:"gates,omitempty"`
	// Secret marks a managed secret.
	Secret bool `json:"secret,omitempty"`
	// Delegated are agents that may use the grant.
	Delegated []string `json:"delegated,omitempty"`

	created time.Time
	used    time.Time
}

// Injection says how the credential goes into a request.
type Injection struct {
	InjectHeader string            `json:"inject_header,omitempty"` // Authorization
	InjectFormat string            `json:"inject_format,omitempty"` // Bearer {token}
	Additional   map[string]string `json:"additional,omitempty"`    // further credentials
	Injections   []ExtraInjection  `json:"injections,omitempty"`
}

// ExtraInjection puts a further value into a request.
type ExtraInjection struct {
	Target string `json:"target"` // header, query_param
	Key    string `json:"key"`
	Source string `json:"value_source"` // token, additional_credentials.<name>
}

// AddGrant makes a grant and returns it with all that was filled in.
func (v *Vault) AddGrant(g Grant) Grant {
	v.mu.Lock()
	defer v.mu.Unlock()
	return *v.addGrant(g)
}

func (v *Vault) addGrant(g Grant) *Grant {
	name := strings.Join([]string{cmp.Or(g.Person, "app"), g.Provider, g.Account, g.Label}, " ")
	g.ID = cmp.Or(g.ID, uuidOf("grant "+name))
	if v.grant(g.ID) != nil {
		g.ID = v.newID("grant " + name)
	}
	g.Account = cmp.Or(g.Account, cmp.Or(g.Person, "app")+"@"+g.Provider)
	g.State = cmp.Or(g.State, Active)
	g.Token = cmp.Or(g.Token, "tok-"+g.Provider+"-"+cmp.Or(g.Person, "app")+"-"+g.ID[:8])
	g.Generation = cmp.Or(g.Generation, uuidOf("generation "+g.ID))
	g.InjectHeader = cmp.Or(g.InjectHeader, "Authorization")
	g.InjectFormat = cmp.Or(g.InjectFormat, "Bearer {token}")
	if g.Lifetime == 0 {
		g.Lifetime = time.Hour
	}
	if g.Scopes == nil {
		g.Scopes = []string{"read"}
	}
	g.created = v.now()
	v.grants = append(v.grants, &g)
	v.wake()
	return &g
}

// ChangeGrant lets change set fields of a grant; false if there is none.
func (v *Vault) ChangeGrant(id string, change func(*Grant)) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	g := v.grant(id)
	if g != nil {
		change(g)
	}
	return g != nil
}

// Grants returns all grants, in the order of their making.
func (v *Vault) Grants() []Grant {
	v.mu.Lock()
	defer v.mu.Unlock()
	var all []Grant
	for _, g := range v.grants {
		all = append(all, *g)
	}
	return all
}

func (v *Vault) grant(id string) *Grant {
	i := slices.IndexFunc(v.grants, func(g *Grant) bool { return g.ID == id })
	if i < 0 {
		return nil
	}
	return v.grants[i]
}

// agent finds a managed agent by id or name.
func (v *Vault) agent(idOrName string) *Agent {
	i := slices.IndexFunc(v.config.Agents, func(a Agent) bool { return a.ID == idOrName || a.Name == idOrName })
	if i < 0 {
		return nil
	}
	return &v.config.Agents[i]
}
