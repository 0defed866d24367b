package e2e

import (
	"strings"
	"testing"
	"time"
)

// TestProviderFaults calls a tool whose service misbehaves in every way, through
// the whole server: each is a tool error that says what happened, within the
// tool's timeout of 2 s, and the next call is as good as ever.
//
// Security PROV-02, PROV-04, PROV-07.
func TestProviderFaults(t *testing.T) {
	s, p := newFaultServer(t, longLife)
	m := newMember(t, s, alice)
	for how, want := range map[string]string{
		"hang":     "no answer within 2s",
		"gate":     "no answer within 2s",
		"drip":     "no answer within 2s",
		"cut":      "broke off",
		"garbage":  "unexpected form",
		"huge":     "longer than",
		"redirect": "redirects are not followed",
		"400":      "400 Bad Request",
		"403":      "403 Forbidden",
		"404":      "404 Not Found",
		"429":      "429 Too Many Requests; try again in 30 seconds",
		"500":      "500 Internal Server Error",
		"503":      "503 Service Unavailable",
	} {
		t.Run(how, func(t *testing.T) {
			c := copyOf(m.Client)
			begin := time.Now()
			result, err := ask(t, c, how)
			took := time.Since(begin)
			if err != nil {
				t.Fatalf("asking: %v", err)
			}
			if !result.IsError || !strings.Contains(result.Text(), want) {
				t.Errorf("asking = %t %q, want an error with %q", result.IsError, result.Text(), want)
			}
			if took > 4*time.Second {
				t.Errorf("asking took %v, want the tool's timeout of 2 s at most, and a little", took)
			}
			if strings.Contains(result.Text(), "127.0.0.1") {
				t.Errorf("the service's address is told: %q", result.Text())
			}
			checkAsk(t, c, "ok")
		})
	}
	if got := p.Calls("foreign"); got != 0 {
		t.Errorf("%d calls followed the redirect, want none", got)
	}
	if got := p.Counts(); got.Grants != 1 || got.Renewals != 0 {
		t.Errorf("provider counts %+v, want the one grant untouched", got)
	}
}

// TestProviderRefusesTokens: one 401 is mended by a renewal that nobody notices,
// once; after a second one the person is asked to connect.
//
// Security PROV-05.
func TestProviderRefusesTokens(t *testing.T) {
	s, p := newFaultServer(t, longLife)
	m, other := newMember(t, s, alice), newMember(t, s, bob)
	checkAsk(t, m.Client, "expire")
	if got := p.Counts(); got.Renewals != 1 || p.Calls("expire") != 2 {
		t.Errorf("provider counts %+v and %d calls, want one renewal and a second call", got, p.Calls("expire"))
	}
	result, err := ask(t, m.Client, "401")
	if err != nil || !result.IsError || result.ConnectURL() == "" || p.Calls("401") != 2 {
		t.Errorf("a service that always refuses = %+v, %v after %d calls; want a link to connect after 2", result, err, p.Calls("401"))
	}
	p.EndGrants()
	for _, m := range []*member{m, other} { // nobody's call goes out with another credential
		if m.link(t) == "" {
			t.Error("a call works with a grant that is dead")
		}
	}
	if !m.reconnect(t) || other.link(t) == "" {
		t.Error("one person's connection became the other's, or did not work")
	}
}

// TestProviderAwayAtRenewal: while the provider renews nothing, a call says that
// it is away. No link is given, for connecting would not help, no other
// person's credential goes out, and the grant is as good as ever afterwards.
//
// Security OPS-10.
func TestProviderAwayAtRenewal(t *testing.T) {
	s, p := newFaultServer(t, longLife)
	m, other := newMember(t, s, alice), newMember(t, s, bob)
	checkAsk(t, m.Client, "spend")
	p.BeAway(true)
	before := p.Calls("ok")
	result, err := ask(t, m.Client, "ok")
	if err != nil || !result.IsError || result.ConnectURL() != "" || !strings.Contains(result.Text(), "Flaky cannot be reached at the moment") {
		t.Errorf("call while the provider is away = %+v, %v; want an error that says so, without a link", result, err)
	}
	if got := p.Calls("ok"); got != before {
		t.Errorf("%d calls reached the service, want none: there was no good token", got-before)
	}
	checkAsk(t, other.Client, "ok")
	p.BeAway(false)
	checkAsk(t, m.Client, "ok")
}
