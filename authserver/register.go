package authserver

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.uber.org/zap"
)

// Registration says who may register a client by RFC 7591. Zero values mean the
// documented default.
type Registration struct {
	// Off turns registration off: only known clients and client ID metadata
	// documents remain.
	Off bool
	// Rate and Window: how many registrations one address may make at once,
	// and over which time that is refilled. Default 60 in 10 min.
	Rate   int
	Window time.Duration
	// MaxClients is the most clients that are kept. Default 10,000.
	MaxClients int
	// UnusedFor is after how long a client that never got a token is removed.
	// Default 24 h.
	UnusedFor time.Duration
	// IdleFor is after how long one is removed that was used, and has no
	// living authorization. Default 400 days.
	IdleFor time.Duration
}

func (c *Registration) complete() {
	if c.Rate <= 0 {
		c.Rate = 60
	}
	if c.Window <= 0 {
		c.Window = 10 * time.Minute
	}
	if c.MaxClients <= 0 {
		c.MaxClients = 10_000
	}
	if c.UnusedFor <= 0 {
		c.UnusedFor = 24 * time.Hour
	}
	if c.IdleFor <= 0 {
		c.IdleFor = 400 * 24 * time.Hour
	}
}

// keptWhenFull is how old a client that was never used must be to make room for
// another one.
const keptWhenFull = time.Hour

// Limits of a registration.
const (
	maxRegistration = 64 << 10 // bytes of the body
	maxRedirectURIs = 32
	maxClientName   = 200 // characters
)

// Ways in which a client authenticates (RFC 7591 section 2).
const (
	authNone  = "none"
	authBasic = "client_secret_basic"
	authPost  = "client_secret_post"
)

// clientMetadata is what a client says of itself (RFC 7591 section 2). Members
// that are not here are ignored.
type clientMetadata struct {
	RedirectURIs  []string `json:"redirect_uris"`
	AuthMethod    string   `json:"token_endpoint_auth_method"`
	GrantTypes    []string `json:"grant_types"`
	ResponseTypes []string `json:"response_types"`
	ClientName    string   `json:"client_name,omitempty"`
	ClientURI     string   `json:"client_uri,omitempty"`
	Scope         string   `json:"scope"`
}

// registration is the answer to a registration (RFC 7591 section 3.2.1).
type registration struct {
	ClientID        string `json:"client_id"`
	IssuedAt        int64  `json:"client_id_issued_at"`
	Secret          string `json:"client_secret,omitempty"`
	SecretExpiresAt *int64 `json:"client_secret_expires_at,omitempty"` // 0: never
	clientMetadata
}

// serveRegister registers a client (RFC 7591 section 3).
func (s *Server) serveRegister(w http.ResponseWriter, r *http.Request) {
	answer, err := s.admitRegistration(w, r)
	s.tell(EventRegistration, err)
	if err != nil {
		s.writeError(w, r, err)
		return
	}
	s.log.Info("client registered", zap.String("client_id", answer.ClientID), zap.String("client_name", answer.ClientName))
	s.writeJSON(w, http.StatusCreated, answer)
}

// admitRegistration registers the client that r describes, if one may register
// now.
func (s *Server) admitRegistration(w http.ResponseWriter, r *http.Request) (*registration, error) {
	if s.cfg.Registration.Off {
		e := *ErrInvalidRequest.because(nil, "this server does not register clients")
		e.Status = http.StatusForbidden
		return nil, &e
	}
	if wait, ok := s.registers.allow(addrKey(s.cfg.ClientAddr(r)), s.cfg.Now()); !ok {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		return nil, ErrTooManyRequests.because(nil, "too many registrations from this address")
	}
	meta, err := s.readRegistration(w, r)
	if err != nil {
		return nil, err
	}
	answer, err := s.register(r, meta)
	if errors.Is(err, ErrFull) {
		s.log.Error("no more clients can be registered", zap.Int("max_clients", s.cfg.Registration.MaxClients))
	}
	return answer, err
}

func (s *Server) readRegistration(w http.ResponseWriter, r *http.Request) (*clientMetadata, error) {
	if ct, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || ct != "application/json" {
		e := *ErrInvalidMetadata.because(err, "want Content-Type application/json")
		e.Status = http.StatusUnsupportedMediaType
		return nil, &e
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRegistration))
	var tooLong *http.MaxBytesError
	if errors.As(err, &tooLong) {
		e := *ErrInvalidMetadata.because(err, "the body is longer than %d bytes", maxRegistration)
		e.Status = http.StatusRequestEntityTooLarge
		return nil, &e
	}
	if err != nil {
		return nil, ErrInvalidMetadata.because(err, "the body could not be read")
	}
	var meta clientMetadata
	if err := json.Unmarshal(body, &meta); err != nil || !utf8.Valid(body) {
		return nil, ErrInvalidMetadata.because(err, "the body is not a JSON object with the members of RFC 7591")
	}
	return &meta, s.normalizeMetadata(&meta)
}

// normalizeMetadata checks what a client says of itself, fills in the defaults
// of RFC 7591 section 2, and replaces what this server does not have. One bad
// redirect URI spoils the whole registration.
func (s *Server) normalizeMetadata(m *clientMetadata) error {
	if len(m.RedirectURIs) == 0 && !s.isDeviceAlone(m) || len(m.RedirectURIs) > maxRedirectURIs {
		return ErrInvalidRedirectURI.because(nil, "want 1 to %d redirect_uris", maxRedirectURIs)
	}
	for _, uri := range m.RedirectURIs {
		if err := checkRedirectURI(uri); err != nil {
			return err
		}
	}
	switch m.AuthMethod {
	case "":
		m.AuthMethod = authBasic
	case authNone, authBasic, authPost:
	default:
		return ErrInvalidMetadata.because(nil, "token_endpoint_auth_method must be none, client_secret_basic or client_secret_post")
	}
	if err := s.normalizeGrants(m); err != nil {
		return err
	}
	m.ClientName = cleanName(m.ClientName)
	if !isWebURL(m.ClientURI) {
		m.ClientURI = ""
	}
	m.Scope = strings.Join(s.knownScopes(m.Scope), " ")
	return nil
}

// normalizeGrants keeps the grant types that this server has.
func (s *Server) normalizeGrants(m *clientMetadata) error {
	device := s.cfg.DeviceAuthorization && slices.Contains(m.GrantTypes, grantDevice)
	refresh := len(m.GrantTypes) == 0 || slices.Contains(m.GrantTypes, grantRefresh)
	if s.isDeviceAlone(m) {
		m.GrantTypes, m.ResponseTypes = nil, []string{}
	} else {
		if len(m.ResponseTypes) > 0 && !slices.Contains(m.ResponseTypes, "code") {
			return ErrInvalidMetadata.because(nil, "response_types must have code")
		}
		if len(m.GrantTypes) > 0 && !slices.Contains(m.GrantTypes, grantCode) {
			return ErrInvalidMetadata.because(nil, "grant_types must have authorization_code")
		}
		m.GrantTypes, m.ResponseTypes = []string{grantCode}, []string{"code"}
	}
	if refresh {
		m.GrantTypes = append(m.GrantTypes, grantRefresh)
	}
	if device {
		m.GrantTypes = append(m.GrantTypes, grantDevice)
	}
	return nil
}

// isDeviceAlone says that a client asks for tokens by the device grant only, and so
// has no redirect URI.
func (s *Server) isDeviceAlone(m *clientMetadata) bool {
	return s.cfg.DeviceAuthorization && slices.Contains(m.GrantTypes, grantDevice) && !slices.Contains(m.GrantTypes, grantCode)
}

func (s *Server) register(r *http.Request, meta *clientMetadata) (*registration, error) {
	now := s.cfg.Now()
	answer := &registration{ClientID: randomID(), IssuedAt: now.Unix(), clientMetadata: *meta}
	client := &Client{
		ID: answer.ClientID, Name: meta.ClientName, RedirectURIs: meta.RedirectURIs,
		AuthMethod: meta.AuthMethod, CreatedAt: now,
	}
	var err error
	if client.Metadata, err = json.Marshal(meta); err != nil {
		return nil, err
	}
	if meta.AuthMethod != authNone {
		answer.Secret, answer.SecretExpiresAt = randomSecret(), new(int64)
		client.SecretHash = hashOf(answer.Secret)
	}
	err = s.cfg.Store.AddClient(r.Context(), client, s.cfg.Registration.MaxClients)
	if errors.Is(err, ErrFull) {
		// Clients that were never used are in the way. Those of the last hour
		// stay: their people may be logging in.
		idle := now.Add(-s.cfg.Registration.IdleFor)
		if _, sweepErr := s.cfg.Store.SweepClients(r.Context(), now.Add(-keptWhenFull), idle); sweepErr != nil {
			return nil, sweepErr
		}
		err = s.cfg.Store.AddClient(r.Context(), client, s.cfg.Registration.MaxClients)
	}
	return answer, err
}

// cleanName makes a client's name fit to be shown and logged: no control or
// format characters, and not longer than maxClientName.
func cleanName(name string) string {
	name = strings.TrimSpace(strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || unicode.Is(unicode.Cf, c) || c == utf8.RuneError {
			return -1
		}
		return c
	}, name))
	if chars := []rune(name); len(chars) > maxClientName {
		name = string(chars[:maxClientName])
	}
	return name
}

func isWebURL(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && len(raw) <= maxRedirectURI
}
