package authserver

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// errSealed reports a sealed record that is not ours, was changed, was made for
// another purpose, or is past its end.
var errSealed = errors.New("the sealed record is not valid")

// sealedRecord is what every record that travels through a browser has.
type sealedRecord struct {
	Expiry int64           `json:"e"` // Unix seconds
	Body   json.RawMessage `json:"b"`
}

// seal encodes v for a trip through a browser. purpose keeps records of one
// kind from being taken as another.
func (s *Server) seal(purpose string, v any, lifetime time.Duration) (string, error) {
	body, err := encodeShort(v)
	if err != nil {
		return "", fmt.Errorf("encoding a %s: %w", purpose, err)
	}
	record, err := encodeShort(sealedRecord{s.cfg.Now().Add(lifetime).Unix(), body})
	if err != nil {
		return "", fmt.Errorf("encoding a %s: %w", purpose, err)
	}
	sealed, err := s.cfg.Sealer.Seal(record, s.ad(purpose))
	if err != nil {
		return "", fmt.Errorf("sealing a %s: %w", purpose, err)
	}
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

// encodeShort is json.Marshal without the escapes for HTML, which would make six
// bytes of one in what has to fit into a cookie.
func encodeShort(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSpace(b.Bytes()), err
}

// open decodes into v what seal made for the same purpose.
func (s *Server) open(purpose, token string, v any) error {
	sealed, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return errSealed
	}
	plain, err := s.cfg.Sealer.Open(sealed, s.ad(purpose))
	if err != nil {
		return errSealed
	}
	var record sealedRecord
	if err := json.Unmarshal(plain, &record); err != nil {
		return errSealed
	}
	if s.cfg.Now().Unix() >= record.Expiry {
		return errSealed
	}
	return json.Unmarshal(record.Body, v)
}

// ad is the associated data of a purpose: bound to this realm and endpoint
// path, so that nothing made for one is good at another.
func (s *Server) ad(purpose string) []byte {
	return fmt.Appendf(nil, "authserver|%q|%q|%q", purpose, s.cfg.Realm, s.cfg.Path)
}
