package local

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
)

// link is what a link to connect stands for. Nothing of it can be read from the
// outside, and holding it is no permission: the browser's own login must be of
// the same person.
type link struct {
	UserID   string   `json:"u"`
	Provider string   `json:"p"`
	Label    string   `json:"l,omitempty"`
	Scopes   []string `json:"s,omitempty"` // beside the provider's own
	Expiry   int64    `json:"e"`           // Unix seconds
}

// form binds a page's form to the person and the login that it was made for.
type form struct {
	link
	Session string `json:"b"`
}

// attempt is a connection that is under way in one browser, as its cookie
// carries it.
type attempt struct {
	form
	ID       string `json:"i"`
	Verifier string `json:"v"` // RFC 7636
}

// Purposes of sealed records, which keep one kind from being taken as another.
const (
	linkPurpose    = "connect link"
	connectPurpose = "connect form"
	accountPurpose = "account form"
	attemptPurpose = "connect attempt"
)

var errSealed = errors.New("the sealed record is not valid or has expired")

func (v *Vault) seal(purpose, endpoint string, record any) (string, error) {
	plain, err := json.Marshal(record)
	if err != nil {
		return "", fmt.Errorf("encoding a %s: %w", purpose, err)
	}
	sealed, err := v.cfg.Sealer.Seal(plain, associated(purpose, endpoint))
	if err != nil {
		return "", fmt.Errorf("sealing a %s: %w", purpose, err)
	}
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

// open decodes into record what seal made for the same purpose and endpoint.
// expiry tells of the record when it ends.
func (v *Vault) open(purpose, endpoint, token string, record any, expiry *int64) error {
	sealed, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return errSealed
	}
	plain, err := v.cfg.Sealer.Open(sealed, associated(purpose, endpoint))
	if err != nil || json.Unmarshal(plain, record) != nil {
		return errSealed
	}
	if v.cfg.Now().Unix() >= *expiry {
		return errSealed
	}
	return nil
}

func associated(purpose, endpoint string) []byte {
	return fmt.Appendf(nil, "local vault|%q|%q", purpose, endpoint)
}

// ConnectURL returns the page of the endpoint where the person of req connects
// an account, or widens what was granted. It works for that person alone, until
// LinkLifetime is over.
func (v *Vault) ConnectURL(endpoint string, req vaultclient.Request) (string, error) {
	token, err := v.seal(linkPurpose, endpoint, link{
		UserID: req.UserID, Provider: req.Provider, Label: req.Label, Scopes: req.Scopes,
		Expiry: v.until(v.cfg.LinkLifetime),
	})
	if err != nil {
		return "", err
	}
	return endpoint + "/connect?" + url.Values{"link": {token}}.Encode(), nil
}

func (v *Vault) until(d time.Duration) int64 { return v.cfg.Now().Add(d).Unix() }
