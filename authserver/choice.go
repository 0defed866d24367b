package authserver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/text/cases"

	"github.com/alter-mcp/caddy-alter-mcp/internal/web"
)

// Way is one of several ways to log in.
type Way struct {
	// Title names it for people. It differs from those of the others. Required.
	Title string
	// Identity by which people log in. Required.
	Identity Identity
	// Knows reports whether a person logs in by it. Required.
	Knows func(issuer, subject string) bool
}

// Choice is an [Identity] made of several: people choose on a page. Which one they
// chose is kept with the login, and only that one ends it: an answer of one identity
// provider never reaches another, as each has a redirect URI of its own (RFC 9700
// section 4.4, mix-up). It is safe for concurrent use.
type Choice struct {
	ways []Way
	keys []string // of the ways, in URLs
}

// NewChoice returns an identity made of ways, which people are shown in that
// order. The error names what two of them have in common and must not: the title,
// or the redirect URI.
func NewChoice(ways []Way) (*Choice, error) {
	c := &Choice{ways: ways}
	seen, cameTo := make(map[string]bool), make(map[string]string)
	for _, way := range ways {
		if way.Title == "" || way.Identity == nil || way.Knows == nil {
			return nil, errors.New("a way to log in lacks its title, its identity or whom it knows")
		}
		folded := cases.Fold().String(way.Title)
		if seen[folded] {
			return nil, fmt.Errorf("two ways to log in are called %q; people tell them by their titles", way.Title)
		}
		seen[folded] = true
		if err := tellCallbacks(way, cameTo); err != nil {
			return nil, err
		}
		// By its title, so that a login survives a reload that adds another.
		hash := sha256.Sum256([]byte(folded))
		c.keys = append(c.keys, hex.EncodeToString(hash[:4]))
	}
	return c, nil
}

// tellCallbacks refuses two identity providers whose answers come to one redirect
// URI: one that sends people on to the other would be given the other's code, and
// could log in as its owner (RFC 9700 section 4.4.2.2).
func tellCallbacks(way Way, cameTo map[string]string) error {
	a, ok := way.Identity.(answered)
	if !ok {
		return nil
	}
	for _, name := range a.Callbacks() {
		if other, taken := cameTo[name]; taken {
			return fmt.Errorf("answers of %q and %q come to the same redirect URI, where one of them could get at codes of the other", other, way.Title)
		}
		cameTo[name] = way.Title
	}
	return nil
}

// Title names all ways, for the page before the choice: "Acme or GitHub", or how
// many there are.
func (c *Choice) Title() string {
	var titles []string
	for _, way := range c.ways {
		titles = append(titles, way.Title)
	}
	const most = 3 // that a sentence names
	last := len(titles) - 1
	switch {
	case last >= most:
		return fmt.Sprintf("one of %d kinds of accounts", len(titles))
	case last < 1:
		return strings.Join(titles, "")
	}
	return strings.Join(titles[:last], ", ") + " or " + titles[last]
}

// chosen is what a login keeps: the way, and what its identity saved.
type chosen struct {
	Way   string          `json:"w"`
	State json.RawMessage `json:"s,omitempty"`
}

const (
	choicePurpose = "choice of a login"
	choiceParam   = "with" // of <p>/login: the key of a way
)

// choiceForm binds the button that cancels to the login.
type choiceForm struct {
	Login string `json:"l"`
}

// Login implements [Identity]. The URL of the login without a way is the page, so
// that going back leads there; a callback goes to the identity that was chosen
// last in this browser.
func (c *Choice) Login(w http.ResponseWriter, r *http.Request, l *Login) (*Person, error) {
	var before chosen
	l.saved(&before)
	key := before.Way
	if !l.Callback {
		key = r.URL.Query().Get(choiceParam)
	}
	way := c.way(key)
	switch {
	case way != nil:
	case l.Callback:
		return nil, ErrInvalidRequest.because(nil, "this login was not begun")
	case r.Method == http.MethodPost:
		return nil, c.cancel(w, r, l)
	default:
		return nil, c.show(w, r, l)
	}
	l.way, l.wayTitle, l.State = key, way.Title, nil
	if key == before.Way { // what another identity saved is not this one's
		l.State = before.State
	}
	p, err := way.Identity.Login(w, r, l)
	if p != nil && !way.Knows(p.Issuer, p.Subject) {
		return nil, providerFault(fmt.Errorf("%q names a person of %s, who is none of its people", way.Title, shorten(p.Issuer)))
	}
	return p, err
}

func (c *Choice) way(key string) *Way {
	for i := range c.ways {
		if c.keys[i] == key {
			return &c.ways[i]
		}
	}
	return nil
}

func (c *Choice) show(w http.ResponseWriter, r *http.Request, l *Login) error {
	s := l.server
	token, err := s.seal(choicePurpose, choiceForm{l.ID}, l.attempt.left(s.cfg.Now()))
	if err != nil {
		return err
	}
	page := web.Choice{
		ClientName: l.ClientName,
		Form:       web.Form{Action: s.loginPath(l.ID), Token: token, Targets: l.attempt.Request.targets()},
	}
	for i, way := range c.ways {
		page.Ways = append(page.Ways, web.Way{
			Title: way.Title, URL: s.loginPath(l.ID) + "&" + url.Values{choiceParam: {c.keys[i]}}.Encode(),
		})
	}
	s.cfg.Pages.Choice(w, r, page)
	return nil
}

// cancel takes the page's only form.
func (c *Choice) cancel(w http.ResponseWriter, r *http.Request, l *Login) error {
	s := l.server
	var form choiceForm
	_, err := s.readPageForm(w, r, choicePurpose, &form)
	if err == nil && form.Login != l.ID {
		err = forgedForm(nil)
	}
	if err != nil {
		s.errorPage(w, r, asError(err))
		return nil
	}
	return ErrAccessDenied.because(nil, "the person did not log in")
}

// Callbacks implements answered.
func (c *Choice) Callbacks() []string {
	var all []string
	for _, way := range c.ways {
		if a, ok := way.Identity.(answered); ok {
			all = append(all, a.Callbacks()...)
		}
	}
	return all
}

// FormTargets implements formTargeter.
func (c *Choice) FormTargets() []string {
	var targets []string
	for _, way := range c.ways {
		if t, ok := way.Identity.(formTargeter); ok {
			targets = append(targets, t.FormTargets()...)
		}
	}
	return targets
}

// RenewTokens implements [TokenRenewer] by the identity that the person is of.
func (c *Choice) RenewTokens(ctx context.Context, old IdentityTokens) (IdentityTokens, error) {
	for _, way := range c.ways {
		if renewer, ok := way.Identity.(TokenRenewer); ok && way.Knows(old.Issuer, old.Subject) {
			return renewer.RenewTokens(ctx, old)
		}
	}
	return IdentityTokens{}, fmt.Errorf("%w: none of the ways to log in renews tokens of its issuer", ErrRenewalRefused)
}

// VerifyToken implements [TokenVerifier]: a token is one identity's, or none's.
func (c *Choice) VerifyToken(ctx context.Context, token string) (*Bearer, error) {
	failure := fmt.Errorf("%w: not a token of this server", ErrInvalidToken)
	for _, way := range c.ways {
		verifier, ok := way.Identity.(TokenVerifier)
		if !ok {
			continue
		}
		b, err := verifier.VerifyToken(ctx, token)
		if err == nil && !way.Knows(b.Issuer, b.Subject) {
			err = fmt.Errorf("%w: %q says that it is of %s, whose people are not its", ErrInvalidToken, way.Title, shorten(b.Issuer))
		}
		if err == nil || !errors.Is(err, ErrInvalidToken) {
			return b, err
		}
		failure = err
	}
	return nil, failure
}

// Interface guards
var (
	_ Identity      = (*Choice)(nil)
	_ TokenRenewer  = (*Choice)(nil)
	_ TokenVerifier = (*Choice)(nil)
	_ formTargeter  = (*Choice)(nil)
	_ answered      = (*Choice)(nil)
)
