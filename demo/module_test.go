package demo

import (
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

func TestUnmarshalCaddyfile(t *testing.T) {
	for name, c := range map[string]struct {
		input string
		fails bool
	}{
		"everything":       {"alter_mcp_demo_provider {\nclient_id demo\nclient_secret s\ntoken_lifetime 90s\n}", false},
		"argument":         {"alter_mcp_demo_provider x", true},
		"unknown setting":  {"alter_mcp_demo_provider {\nlifetime 90s\n}", true},
		"setting twice":    {"alter_mcp_demo_provider {\nclient_id a\nclient_id b\n}", true},
		"no value":         {"alter_mcp_demo_provider {\nclient_id\n}", true},
		"two values":       {"alter_mcp_demo_provider {\nclient_id a b\n}", true},
		"lifetime of zero": {"alter_mcp_demo_provider {\ntoken_lifetime 0\n}", true},
	} {
		t.Run(name, func(t *testing.T) {
			var h Handler
			err := h.UnmarshalCaddyfile(caddyfile.NewTestDispenser(c.input))
			if (err != nil) != c.fails {
				t.Fatalf("error %v, want one: %v", err, c.fails)
			}
			if err == nil && (h.ClientID != "demo" || h.ClientSecret != "s" || h.TokenLifetime != caddy.Duration(90*time.Second)) {
				t.Errorf("read %+v", h)
			}
		})
	}
}

func TestProvisionRefuses(t *testing.T) {
	for name, h := range map[string]*Handler{
		"no id":           {ClientSecret: "s"},
		"no secret":       {ClientID: "demo"},
		"empty secret":    {ClientID: "demo", ClientSecret: "{env.DEMO_NOT_SET}"},
		"short lifetime":  {ClientID: "demo", ClientSecret: "s", TokenLifetime: 1},
		"negative as one": {ClientID: "demo", ClientSecret: "s", TokenLifetime: -1},
	} {
		t.Run(name, func(t *testing.T) {
			if err := h.Provision(caddy.Context{}); err == nil {
				t.Error("no error")
			}
			if err := h.Cleanup(); err != nil {
				t.Errorf("cleaning up: %v", err)
			}
		})
	}
}

// The old configuration is cleaned up after the new one is provisioned.
func TestStateSurvivesReload(t *testing.T) {
	provision := func(secret string) *Handler {
		h := &Handler{ClientID: "demo", ClientSecret: secret}
		if err := h.Provision(caddy.Context{}); err != nil {
			t.Fatal(err)
		}
		return h
	}
	cleanup := func(h *Handler) {
		if err := h.Cleanup(); err != nil {
			t.Fatal(err)
		}
	}
	first := provision("s")
	second, other := provision("s"), provision("t")
	cleanup(first)
	if second.provider != first.provider {
		t.Error("a reload made a new provider")
	}
	if other.provider == first.provider {
		t.Error("another secret shares the provider")
	}
	cleanup(second)
	cleanup(other)
	if third := provision("s"); third.provider == first.provider {
		t.Error("a provider outlived its last use")
	} else {
		cleanup(third)
	}
}

func TestHandlerIsForThisMachine(t *testing.T) {
	h := &Handler{ClientID: "demo", ClientSecret: "s"}
	if err := h.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Cleanup() })
	for peer, status := range map[string]int{"127.0.0.1:5000": http.StatusOK, "192.0.2.1:5000": http.StatusForbidden} {
		r := httptest.NewRequest(http.MethodGet, "http://localhost:8001/style.css", nil)
		r.RemoteAddr = peer
		w := httptest.NewRecorder()
		if err := h.ServeHTTP(w, r, nil); err != nil || w.Code != status {
			t.Errorf("%s gets %d, %v; want %d", peer, w.Code, err, status)
		}
	}
}

func TestCaddyfileIsFormatted(t *testing.T) {
	text, err := os.ReadFile("Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	if string(caddyfile.Format(text)) != string(text) {
		t.Error("caddy fmt would change the Caddyfile")
	}
}
