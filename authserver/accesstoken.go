package authserver

import (
	"context"
	"crypto/ecdsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// accessTokenType is the typ of an access token (RFC 9068 section 2.1).
const accessTokenType = "at+jwt"

// maxAccessToken bounds an access token in bytes: ours have some 700.
const maxAccessToken = 4 << 10

// accessClaims are the claims of an access token (RFC 9068 section 2.2).
type accessClaims struct {
	Issuer   string `json:"iss"`
	Audience string `json:"aud"` // the endpoint, and nothing else
	Subject  string `json:"sub"` // random id of the user
	ClientID string `json:"client_id"`
	Scope    string `json:"scope"`
	IssuedAt int64  `json:"iat"`
	Expiry   int64  `json:"exp"`
	ID       string `json:"jti"`
	// Family ties the token to the authorization that it came of, so that it
	// ends with it.
	Family string `json:"sid"`
}

// mintAccessToken signs an access token for one family.
func (s *Server) mintAccessToken(ctx context.Context, f *Family, scopes []string, lifetime time.Duration) (string, error) {
	now := s.cfg.Now()
	token, err := s.sign(ctx, accessTokenType, accessClaims{
		Issuer: f.Resource, Audience: f.Resource, Subject: f.UserID, ClientID: f.ClientID,
		Scope: strings.Join(scopes, " "), IssuedAt: now.Unix(),
		Expiry: now.Add(lifetime).Unix(), ID: randomID(), Family: f.ID,
	})
	if err != nil {
		return "", fmt.Errorf("making an access token: %w", err)
	}
	return token, nil
}

// sign makes a compact JWS (RFC 7515) of claims by the newest key. kind is the
// typ, which keeps tokens for one use from passing for those for another (RFC
// 8725 section 3.11).
func (s *Server) sign(ctx context.Context, kind string, claims any) (string, error) {
	key, err := s.keys.newest(ctx)
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encoding claims: %w", err)
	}
	headers := jws.NewHeaders()
	for name, value := range map[string]any{jws.TypeKey: kind, jws.KeyIDKey: key.id} {
		if err := headers.Set(name, value); err != nil {
			return "", fmt.Errorf("encoding a header: %w", err)
		}
	}
	token, err := jws.Sign(payload, jws.WithKey(jwa.ES256, key.private, jws.WithProtectedHeaders(headers)))
	if err != nil {
		return "", fmt.Errorf("signing: %w", err)
	}
	return string(token), nil
}

// accessHeader is what counts of a token's header (RFC 7515 section 4.1).
type accessHeader struct {
	Algorithm string          `json:"alg"`
	Type      string          `json:"typ"`
	KeyID     string          `json:"kid"`
	Critical  json.RawMessage `json:"crit"`
}

// parseAccessToken checks the signature and the form of a token of this realm,
// whether it has ended or not, and returns its claims. Only ES256 by a key of
// ours counts: what the header says beside kid is never followed (RFC 8725
// sections 3.1, 3.10 and 3.11).
func (s *Server) parseAccessToken(ctx context.Context, token string) (*accessClaims, error) {
	notOurs := fmt.Errorf("%w: not a token of this server", ErrInvalidToken)
	if len(token) > maxAccessToken {
		return nil, notOurs
	}
	head, payload, signature, ok := decodeCompactJWS(token)
	if !ok {
		return nil, notOurs
	}
	public, err := s.keyFor(ctx, head)
	if err != nil {
		return nil, err
	}
	// Not by jws.Verify, which reads the header a second time, in ten times as long.
	verifier, err := jws.NewVerifier(jwa.ES256)
	if err != nil {
		return nil, fmt.Errorf("verifying an access token: %w", err)
	}
	if err := verifier.Verify([]byte(token[:strings.LastIndexByte(token, '.')]), signature, public); err != nil {
		return nil, fmt.Errorf("%w: wrong signature", ErrInvalidToken)
	}
	var claims accessClaims
	if err := json.Unmarshal(payload, &claims); err != nil || claims.Family == "" || claims.Expiry == 0 {
		return nil, fmt.Errorf("%w: claims are missing", ErrInvalidToken)
	}
	return &claims, nil
}

// keyFor returns the key that has to have signed a token with this header.
func (s *Server) keyFor(ctx context.Context, header []byte) (*ecdsa.PublicKey, error) {
	var head accessHeader
	if err := json.Unmarshal(header, &head); err != nil || head.Algorithm != jwa.ES256.String() || head.Type != accessTokenType || head.Critical != nil {
		return nil, fmt.Errorf("%w: not an access token of this server", ErrInvalidToken)
	}
	public, err := s.keys.byID(ctx, head.KeyID)
	if err == nil && public == nil {
		err = fmt.Errorf("%w: unknown key", ErrInvalidToken)
	}
	return public, err
}

// decodeCompactJWS takes a token apart that is three parts of strict base64url (RFC
// 7515 section 7.1), so that each token has exactly one spelling.
func decodeCompactJWS(token string) (header, payload, signature []byte, ok bool) {
	var decoded [3][]byte
	parts := strings.Split(token, ".")
	if len(parts) != len(decoded) {
		return nil, nil, nil, false
	}
	for i, part := range parts {
		b, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil || part == "" || strings.ContainsAny(part, "\r\n") {
			return nil, nil, nil, false
		}
		decoded[i] = b
	}
	return decoded[0], decoded[1], decoded[2], true
}

// isCompactJWS reports whether decodeCompactJWS can take a token apart.
func isCompactJWS(token string) bool {
	_, _, _, ok := decodeCompactJWS(token)
	return ok
}
