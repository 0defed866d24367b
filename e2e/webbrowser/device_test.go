package webbrowser

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestDevice lets a device in, in each look.
func TestDevice(t *testing.T) {
	s, b := newSite(t, "device_authorization"), Start(t)
	for _, w := range looks() {
		t.Run(w.Name, func(t *testing.T) {
			tab := b.Open(t, w)
			code, page := newDevice(t, s)
			tab.Go(page)
			check(t, s, tab, want{status: 200, title: "Let a device in", text: "Does it show this code?", picture: "device-code-" + w.Name})
			tab.Go(s.Endpoint + "/device")
			at(t, tab, "input Code")
			tab.Type("BCDF-GHJK")
			tab.Press("Enter", Page)
			check(t, s, tab, want{status: 422, title: "Error: Let a device in", text: "No device waits with that code", picture: "device-wrong-" + w.Name})
			tab.Fill("Code", strings.ToLower(code))
			tab.Click("Go on", Page)
			check(t, s, tab, want{status: 200, title: "Allow access", text: "The device that shows " + code, picture: "device-consent-" + w.Name})
			tab.Click("Allow and log in", Page)
			submitLogin(tab, "alice", "alice-demo")
			check(t, s, tab, want{status: 200, title: "Your device is let in", picture: "device-in-" + w.Name})
		})
	}
}

// newDevice is a device that waits: the code that it shows, and the address with
// that.
func newDevice(t *testing.T, s *site) (code, page string) {
	t.Helper()
	ask := func(path, contentType, body string, answer any) {
		resp, err := http.Post(s.Endpoint+path, contentType, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(answer); err != nil || resp.StatusCode >= 300 {
			t.Fatalf("POST %s = %d, %v", path, resp.StatusCode, err)
		}
	}
	var client struct {
		ID string `json:"client_id"`
	}
	ask("/register", "application/json", `{"client_name": "Backup job", "token_endpoint_auth_method": "none",
		"grant_types": ["urn:ietf:params:oauth:grant-type:device_code"]}`, &client)
	var device struct {
		UserCode string `json:"user_code"`
		Page     string `json:"verification_uri_complete"`
	}
	ask("/device_authorization", "application/x-www-form-urlencoded", url.Values{"client_id": {client.ID}}.Encode(), &device)
	return device.UserCode, device.Page
}
