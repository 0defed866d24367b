package connect

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"
)

// form binds a page's form to the person and the login that it was made for.
type form struct {
	Link
	Expiry  int64  `json:"e"` // Unix seconds
	Session string `json:"b"`
}

// attempt is a connection that is under way in one browser, as its cookie
// carries it.
type attempt struct {
	form
	ID string `json:"i"`
	// State is what the vault saved for the end of the way.
	State json.RawMessage `json:"v,omitempty"`
}

// Purposes of sealed records, which keep one kind from being taken as another.
const (
	linkPurpose    = "connect link"
	connectPurpose = "connect form"
	accountPurpose = "account form"
	attemptPurpose = "connect attempt"
)

var errSealed = errors.New("the sealed record is not valid or has expired")

func (h *Handler) seal(purpose, endpoint string, record any) (string, error) {
	plain, err := json.Marshal(record)
	if err != nil {
		return "", fmt.Errorf("encoding a %s: %w", purpose, err)
	}
	sealed, err := h.cfg.Sealer.Seal(plain, h.associated(purpose, endpoint))
	if err != nil {
		return "", fmt.Errorf("sealing a %s: %w", purpose, err)
	}
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

// open decodes into record what seal made for the same purpose and endpoint.
// expiry tells of the record when it ends.
func (h *Handler) open(purpose, endpoint, token string, record any, expiry *int64) error {
	sealed, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return errSealed
	}
	plain, err := h.cfg.Sealer.Open(sealed, h.associated(purpose, endpoint))
	if err != nil || json.Unmarshal(plain, record) != nil {
		return errSealed
	}
	if h.cfg.Now().Unix() >= *expiry {
		return errSealed
	}
	return nil
}

func (h *Handler) associated(purpose, endpoint string) []byte {
	return fmt.Appendf(nil, "%s|%q|%q", h.cfg.Name, purpose, endpoint)
}

// sealedLink is a link as its URL carries it.
type sealedLink struct {
	Link
	Expiry int64 `json:"e"` // Unix seconds
}

// URL returns the page of the endpoint where the person of l connects an
// account, or widens what was granted. It works for that person alone, until
// LinkLifetime is over.
func (h *Handler) URL(endpoint string, l *Link) (string, error) {
	token, err := h.seal(linkPurpose, endpoint, sealedLink{*l, h.until(h.cfg.LinkLifetime)})
	if err != nil {
		return "", err
	}
	return endpoint + "/connect?" + url.Values{"link": {token}}.Encode(), nil
}

func (h *Handler) until(d time.Duration) int64 { return h.cfg.Now().Add(d).Unix() }
