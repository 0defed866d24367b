package authserver

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"
)

// poll is when a device asked last, and how long it has to wait.
type poll struct {
	at       time.Time
	interval time.Duration
}

// maxPolls bounds how many polls are remembered: those of all devices that wait.
const maxPolls = maxDevices

// redeemDevice answers a device that asks whether somebody let it in (RFC 8628
// section 3.4): with tokens, once, or with the error of section 3.5 that says why
// not.
func (s *Server) redeemDevice(w http.ResponseWriter, r *http.Request, form url.Values) (*tokens, error) {
	client, err := s.authenticateClient(w, r, form, s.tokenClient)
	if err != nil {
		return nil, err
	}
	code := form.Get("device_code")
	if code == "" {
		return nil, ErrInvalidRequest.because(nil, "device_code is missing")
	}
	hash := deviceHash(code)
	c, err := s.cfg.Store.Code(r.Context(), hash, s.cfg.Now())
	if errors.Is(err, ErrNotFound) {
		return nil, s.whyNoTokens(r.Context(), client, hash)
	}
	if err != nil {
		return nil, err
	}
	if err := s.checkDeviceCode(r, client, c, form); err != nil {
		return nil, err
	}
	return s.giveTokens(r.Context(), client, c)
}

// checkDeviceCode checks what a device code is bound to.
func (s *Server) checkDeviceCode(r *http.Request, client *Client, c *Code, form url.Values) error {
	if c.ClientID != client.ID {
		return ErrInvalidGrant.because(nil, "the device code was given to another client")
	}
	if c.Resource != s.cfg.Endpoint(r) {
		return ErrInvalidGrant.because(nil, "the device code was given for another resource")
	}
	return s.checkResource(r, form["resource"])
}

// whyNoTokens is the error for a device that nobody has let in.
func (s *Server) whyNoTokens(ctx context.Context, client *Client, hash []byte) error {
	d, err := s.cfg.Store.Device(ctx, hash)
	if errors.Is(err, ErrNotFound) {
		return ErrInvalidGrant.because(nil, "the device code is unknown, or its time was over long ago")
	}
	if err != nil {
		return err
	}
	now := s.cfg.Now()
	switch {
	case d.ClientID != client.ID:
		return ErrInvalidGrant.because(nil, "the device code was given to another client")
	case d.Decided && now.Before(d.ExpiresAt):
		return ErrAccessDenied.because(nil, "the person said no")
	case !now.Before(d.ExpiresAt):
		return ErrExpiredToken.because(nil, "nobody let the device in in time")
	case s.polledTooSoon(string(hash), now):
		return ErrSlowDown.because(nil, "wait 5 seconds more between two requests than before")
	}
	return ErrAuthorizationPending.because(nil, "nobody has let the device in yet")
}

// polledTooSoon reports whether a device asks before its interval is over, which
// makes it longer (RFC 8628 section 3.5). Half a second is let pass: networks do
// not keep time.
func (s *Server) polledTooSoon(hash string, now time.Time) bool {
	const slack = 500 * time.Millisecond
	last, known := s.polls.Get(hash)
	next := poll{at: now, interval: max(last.interval, deviceInterval)}
	soon := known && now.Sub(last.at) < last.interval-slack
	if soon {
		next.interval += deviceInterval
	}
	s.polls.Add(hash, next)
	return soon
}
