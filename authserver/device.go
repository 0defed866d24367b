package authserver

import (
	"context"
	"crypto/rand"
	"errors"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
)

// grantDevice is the grant type of RFC 8628 section 3.4.
const grantDevice = "urn:ietf:params:oauth:grant-type:device_code"

// Limits of device authorization. What one address may begin and guess is
// refilled over deviceWindow.
const (
	deviceLifetime = 10 * time.Minute
	deviceInterval = 5 * time.Second // between polls
	maxDevices     = 1000            // that wait at a time
	deviceBegins   = 60
	deviceGuesses  = 20
	deviceWindow   = 10 * time.Minute
)

// userCodeLetters has no vowels, so that no words come of it, and nothing that
// looks like something else (RFC 8628 section 6.1). 20 letters at 8 places are
// 34 bits, of which an address may guess 20 in 10 minutes.
const (
	userCodeLetters = "BCDFGHJKLMNPQRSTVWXZ"
	userCodeLength  = 8
)

// devicePrefix lets secret scanners know a device code.
const devicePrefix = "amd_"

// Device is a program that waits for somebody to let it in, at another device
// (RFC 8628).
type Device struct {
	UserHash  []byte // SHA-256 of the user code
	Hash      []byte // of the device code, and of the [Code] that comes of it
	ClientID  string
	Resource  string
	Scopes    []string
	ExpiresAt time.Time
	// Decided says that somebody said yes or no.
	Decided bool
}

// DeviceStore keeps devices that wait.
type DeviceStore interface {
	// AddDevice stores d unless limit devices wait at now: [ErrFull].
	AddDevice(ctx context.Context, d *Device, limit int, now time.Time) error
	// DeviceByUserCode returns the device with that user code that waits at now,
	// or [ErrNotFound].
	DeviceByUserCode(ctx context.Context, userHash []byte, now time.Time) (*Device, error)
	// Device returns a device by its code, decided or past its end, or
	// [ErrNotFound].
	Device(ctx context.Context, hash []byte) (*Device, error)
	// DecideDevice ends the waiting of a device and stores the code that comes
	// of it, both or neither; nil is a no. [ErrTaken] when somebody decided
	// before, or its time is over at now.
	DecideDevice(ctx context.Context, userHash []byte, c *Code, now time.Time) error
}

// deviceAnswer is the device authorization response (RFC 8628 section 3.2).
type deviceAnswer struct {
	DeviceCode      string `json:"device_code"`
	UserCode        string `json:"user_code"`
	VerificationURI string `json:"verification_uri"`
	Complete        string `json:"verification_uri_complete"`
	ExpiresIn       int64  `json:"expires_in"` // seconds
	Interval        int64  `json:"interval"`   // seconds
}

// serveDeviceAuthorization begins an authorization for a device without a
// browser (RFC 8628 section 3.1).
func (s *Server) serveDeviceAuthorization(w http.ResponseWriter, r *http.Request) {
	answer, err := s.beginDevice(w, r)
	if err != nil {
		s.writeError(w, r, err)
		return
	}
	s.writeJSON(w, http.StatusOK, answer)
}

func (s *Server) beginDevice(w http.ResponseWriter, r *http.Request) (*deviceAnswer, error) {
	form, err := readForm(w, r, "resource")
	if err != nil {
		return nil, err
	}
	if wait, ok := s.deviceBegins.allow(addrKey(s.cfg.ClientAddr(r)), s.cfg.Now()); !ok {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		return nil, ErrTooManyRequests.because(nil, "too many device authorizations from this address")
	}
	client, err := s.deviceClient(w, r, form)
	if err != nil {
		return nil, err
	}
	if err := s.checkResource(r, form["resource"]); err != nil {
		return nil, err
	}
	code, userCode := devicePrefix+randomSecret(), newUserCode()
	now := s.cfg.Now()
	err = s.cfg.Store.AddDevice(r.Context(), &Device{
		UserHash: hashOf(userCode), Hash: deviceHash(code), ClientID: client.ID, Resource: s.cfg.Endpoint(r),
		Scopes: s.knownScopes(form.Get("scope")), ExpiresAt: now.Add(deviceLifetime),
	}, maxDevices, now)
	if errors.Is(err, ErrFull) {
		s.log.Error("no more devices can wait", zap.Int("max_devices", maxDevices))
		return nil, ErrUnavailable.because(err, "too many devices wait at the moment, try again later")
	}
	if err != nil {
		return nil, err
	}
	s.log.Info("device waits", zap.String("client_id", client.ID))
	page := s.cfg.Endpoint(r) + "/device"
	return &deviceAnswer{
		DeviceCode: code, UserCode: showUserCode(userCode), VerificationURI: page,
		Complete:  page + "?" + url.Values{"user_code": {showUserCode(userCode)}}.Encode(),
		ExpiresIn: int64(deviceLifetime.Seconds()), Interval: int64(deviceInterval.Seconds()),
	}, nil
}

// deviceClient authenticates the client and makes sure that it registered for the
// grant type: a client that was made for a browser is not to be posed as here. No
// metadata document says so, hence none is fetched.
func (s *Server) deviceClient(w http.ResponseWriter, r *http.Request, form url.Values) (*Client, error) {
	client, err := s.authenticateClient(w, r, form, s.tokenClient)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(client.metadata().GrantTypes, grantDevice) {
		return nil, ErrUnauthorizedClient.because(nil, "the client did not register for the grant type %s", grantDevice)
	}
	return client, nil
}

// deviceHash is of device codes alone: none is good as an authorization code.
func deviceHash(code string) []byte { return hashOf("device code " + code) }

func newUserCode() string {
	const fair = 256 / len(userCodeLetters) * len(userCodeLetters) // bytes below it give each letter alike
	code, random := make([]byte, 0, userCodeLength), make([]byte, 1)
	for len(code) < userCodeLength {
		if rand.Read(random); int(random[0]) < fair {
			code = append(code, userCodeLetters[int(random[0])%len(userCodeLetters)])
		}
	}
	return string(code)
}

// showUserCode divides a user code, for people to read.
func showUserCode(code string) string {
	return code[:userCodeLength/2] + "-" + code[userCodeLength/2:]
}

// readUserCode is what somebody typed, in any case and with whatever is between
// the letters; false if it can be none.
func readUserCode(typed string) (string, bool) {
	if len(typed) > 4*userCodeLength {
		return "", false
	}
	code := strings.Map(func(c rune) rune {
		if c == ' ' || c == '-' || c == '.' || c == '\u2011' || c == '\u2013' {
			return -1
		}
		return c
	}, strings.ToUpper(typed))
	return code, len(code) == userCodeLength && strings.Trim(code, userCodeLetters) == ""
}
