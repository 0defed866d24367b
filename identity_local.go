package altermcp

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/mail"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/caddyauth"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

func init() {
	caddy.RegisterModule(LocalIdentity{})
}

// localIssuer is the issuer of people with an account in the Caddyfile.
const localIssuer = "urn:alter-mcp:local"

// LocalIdentity logs people in by accounts in the configuration, with password
// hashes as `caddy hash-password` makes them.
type LocalIdentity struct {
	// The algorithm of the password hashes. Default: bcrypt.
	HashRaw json.RawMessage `json:"hash,omitempty" caddy:"namespace=http.authentication.hashes inline_key=algorithm"`

	// The accounts.
	Users []LocalUser `json:"users,omitempty"`

	hash     caddyauth.Comparer
	fake     []byte // an account's hash, to spend time on
	byName   map[string]*localAccount
	identity *authserver.PasswordIdentity
}

// LocalUser is an account in the configuration.
type LocalUser struct {
	// The name to log in with; letter case does not matter. Who has logged in
	// by a name keeps its grants: give it to nobody else.
	Name string `json:"name,omitempty"`
	// The password's hash; placeholders are allowed.
	PasswordHash string `json:"password_hash,omitempty"`
	// E-mail address, taken as verified.
	Email string `json:"email,omitempty"`
	// Name for people. Default: the name to log in with.
	DisplayName string `json:"display_name,omitempty"`
	// Groups, for rules.
	Groups []string `json:"groups,omitempty"`
}

type localAccount struct {
	hash   []byte
	person authserver.Person
}

// CaddyModule implements caddy.Module.
func (LocalIdentity) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.alter_mcp.identities.local",
		New: func() caddy.Module { return new(LocalIdentity) },
	}
}

// Provision loads the hash algorithm and resolves the accounts.
func (i *LocalIdentity) Provision(ctx caddy.Context) error {
	if i.HashRaw == nil {
		i.HashRaw = caddyconfig.JSONModuleObject(struct{}{}, "algorithm", "bcrypt", nil)
	}
	mod, err := ctx.LoadModule(i, "HashRaw")
	if err != nil {
		return fmt.Errorf("loading the hash algorithm: %w", err)
	}
	i.hash = mod.(caddyauth.Comparer)
	if len(i.Users) == 0 {
		return fmt.Errorf("identity local has no user")
	}
	i.byName = make(map[string]*localAccount)
	for n, u := range i.Users {
		account, err := u.resolve()
		if err == nil {
			err = i.checkHash(account.hash)
		}
		if err != nil {
			return fmt.Errorf("user %d (%s): %w", n, u.Name, err)
		}
		key := foldName(u.Name)
		if i.byName[key] != nil {
			return fmt.Errorf("user %d: the name %s is taken; letter case does not tell names apart", n, u.Name)
		}
		i.byName[key] = account
	}
	i.fake = i.byName[foldName(i.Users[0].Name)].hash
	i.identity = authserver.NewPasswordIdentity(i.check)
	return nil
}

// resolve checks an account. Its subject is the folded name.
func (u *LocalUser) resolve() (*localAccount, error) {
	if foldName(u.Name) == "" || strings.ContainsAny(u.Name, "{}\r\n") || len(u.Name) > 200 {
		return nil, fmt.Errorf("want a name of 1 to 200 bytes without braces")
	}
	hash, err := expandSecret("password hash", u.PasswordHash)
	if err != nil {
		return nil, err
	}
	if u.Email != "" {
		if addr, err := mail.ParseAddress(u.Email); err != nil || addr.Address != u.Email {
			return nil, fmt.Errorf("email %q: not an e-mail address", u.Email)
		}
	}
	name := u.DisplayName
	if name == "" {
		name = u.Name
	}
	return &localAccount{
		hash: []byte(hash),
		person: authserver.Person{
			Issuer: localIssuer, Subject: foldName(u.Name),
			Profile: authserver.Profile{Email: u.Email, EmailVerified: u.Email != "", Name: name, Groups: u.Groups},
		},
	}, nil
}

// checkHash finds a hash that no password fits, because it was cut or is of another
// algorithm. Of an algorithm that is not Caddy's own nothing is known.
func (i *LocalIdentity) checkHash(hash []byte) error {
	var err error
	var algorithm, other string
	switch i.hash.(type) {
	case *caddyauth.BcryptHash:
		_, err = bcrypt.Cost(hash)
		algorithm, other = "bcrypt", "argon2id"
	case *caddyauth.Argon2idHash:
		_, _, err = caddyauth.DecodeHash(hash)
		algorithm, other = "argon2id", "bcrypt"
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("the password hash is none of %s: %w; want what `caddy hash-password --algorithm %s` prints, "+
		"or `identity local %s` for hashes of that algorithm", algorithm, err, algorithm, other)
}

// foldName brings a name to the form in which names are compared: case-folded
// NFC.
func foldName(name string) string {
	return norm.NFC.String(cases.Fold().String(norm.NFC.String(strings.TrimSpace(name))))
}

// check implements [authserver.PasswordChecker].
func (i *LocalIdentity) check(_ context.Context, name, password string) (*authserver.Person, error) {
	account := i.byName[foldName(name)]
	if account == nil {
		// An unknown name takes as long as a known one: the algorithm's own fake
		// hash may cost more or less than those of the accounts.
		_, _ = i.hash.Compare(i.fake, []byte(password))
		return nil, nil
	}
	fits, err := i.hash.Compare(account.hash, []byte(password))
	if err != nil || !fits {
		return nil, err
	}
	person := account.person
	return &person, nil
}

// Title implements identityModule.
func (i *LocalIdentity) Title() string { return "your account on this server" }

// Knows implements identityModule: an account that was removed is gone.
func (i *LocalIdentity) Knows(issuer, subject string) bool {
	return issuer == localIssuer && i.byName[subject] != nil
}

// everyone implements closedIdentity.
func (i *LocalIdentity) everyone() []someone {
	var all []someone
	for _, account := range i.byName {
		p := &account.person
		all = append(all, someone{p.Issuer, p.Subject, p.Profile.Email, p.Profile.EmailVerified, p.Profile.Groups})
	}
	return all
}

// onlyOne implements singular: the accounts of all are of one issuer.
func (i *LocalIdentity) onlyOne() string { return "identity local" }

// Login implements [authserver.Identity].
func (i *LocalIdentity) Login(w http.ResponseWriter, r *http.Request, l *authserver.Login) (*authserver.Person, error) {
	return i.identity.Login(w, r, l)
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler. Syntax:
//
//	identity local [<hash algorithm>] {
//	    user <name> <password hash> {
//	        email  <address>
//	        name   <name for people>
//	        groups <group>...
//	    }
//	}
func (i *LocalIdentity) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // module name
	if d.NextArg() {
		const hashes = "http.authentication.hashes"
		if _, err := caddy.GetModule(hashes + "." + d.Val()); err != nil {
			return d.Errf("identity local: hash algorithm %q; there are %s", d.Val(), moduleNames(hashes))
		}
		i.HashRaw = caddyconfig.JSONModuleObject(struct{}{}, "algorithm", d.Val(), nil)
	}
	if d.NextArg() {
		return d.ArgErr()
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if d.Val() != "user" {
			return unknown(d, "identity local", "user")
		}
		var u LocalUser
		if !d.Args(&u.Name, &u.PasswordHash) || d.NextArg() {
			return d.Err("user takes a name and a password hash, such as `caddy hash-password` prints")
		}
		if err := u.unmarshalBlock(d); err != nil {
			return err
		}
		i.Users = append(i.Users, u)
	}
	return nil
}

func (u *LocalUser) unmarshalBlock(d *caddyfile.Dispenser) error {
	seen := make(once)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := seen.check(d); err != nil {
			return err
		}
		var err error
		switch d.Val() {
		case "email":
			err = oneArg(d, &u.Email)
		case "name":
			err = oneArg(d, &u.DisplayName)
		case "groups":
			err = manyArgs(d, &u.Groups)
		default:
			err = unknown(d, "user", "email", "name", "groups")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner     = (*LocalIdentity)(nil)
	_ caddyfile.Unmarshaler = (*LocalIdentity)(nil)
	_ identityModule        = (*LocalIdentity)(nil)
	_ singular              = (*LocalIdentity)(nil)
	_ closedIdentity        = (*LocalIdentity)(nil)
)
