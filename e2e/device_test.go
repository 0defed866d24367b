package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/browser"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

// TestDeviceAuthorization is a program without a browser, which logs its person in
// by RFC 8628 as golang.org/x/oauth2 has it, calls tools, and refreshes, also after
// a restart of the server in the middle.
func TestDeviceAuthorization(t *testing.T) {
	s := harness.NewServer(t, "testdata", withSettings("device_authorization"))
	config := deviceClient(t, s)
	waiting := beginDevice(t, config, s)
	s.Kill()
	s.Restart()
	letDeviceIn(t, newBrowser(t, s, alice), waiting)
	token, err := config.DeviceAccessToken(t.Context(), waiting)
	if err != nil {
		t.Fatalf("asking for the tokens: %v", err)
	}
	c := mcpclient.New(s.Endpoint, mcpclient.Modern)
	c.Tokens.AccessToken = token.AccessToken
	if text := call(t, c, "whoami").Text(); !strings.HasPrefix(text, "alice@example.com by Backup job") {
		t.Errorf("whoami gives %q", text)
	}
	connect(t, newBrowser(t, s, alice), call(t, c, "list_messages").ConnectURL())
	checkInbox(t, call(t, c, "list_messages").Text(), alice, bob)

	fresh, err := config.TokenSource(t.Context(), &oauth2.Token{RefreshToken: token.RefreshToken}).Token()
	if err != nil || fresh.AccessToken == token.AccessToken {
		t.Fatalf("refresh: %v", err)
	}
	c.Tokens.AccessToken = fresh.AccessToken
	checkInbox(t, call(t, c, "list_messages").Text(), alice, bob)
	for _, secret := range []string{waiting.DeviceCode, token.AccessToken, token.RefreshToken} {
		if strings.Contains(s.Log(), secret) {
			t.Error("the log holds a code or a token")
		}
	}
}

// TestDeviceAuthorizationByAlter is the same where people log in by Alter, whose
// login waits in the browser of the other device.
func TestDeviceAuthorizationByAlter(t *testing.T) {
	v := harness.StartVault(t)
	t.Cleanup(v.CheckProtocol)
	s := harness.NewAlterServer(t, v, "testdata/alter/server.Caddyfile", withSettings("device_authorization"))
	config := deviceClient(t, s)
	waiting := beginDevice(t, config, s)
	letDeviceIn(t, newBrowser(t, s, alice), waiting)
	token, err := config.DeviceAccessToken(t.Context(), waiting)
	if err != nil {
		t.Fatalf("asking for the tokens: %v", err)
	}
	c := mcpclient.New(s.Endpoint, mcpclient.Modern)
	c.Tokens.AccessToken = token.AccessToken
	connect(t, newBrowser(t, s, alice), call(t, c, "list_messages").ConnectURL())
	checkGmail(t, call(t, c, "list_messages"), alice, bob)
}

// deviceClient registers a program that has no redirect URI.
func deviceClient(t *testing.T, s *harness.Server) *oauth2.Config {
	t.Helper()
	const registration = `{"client_name": "Backup job", "token_endpoint_auth_method": "none",
		"grant_types": ["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"]}`
	resp, err := http.Post(s.Endpoint+"/register", "application/json", strings.NewReader(registration))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var client struct {
		ID string `json:"client_id"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&client); err != nil || client.ID == "" {
		t.Fatalf("registration = %d, %v", resp.StatusCode, err)
	}
	return &oauth2.Config{ClientID: client.ID, Scopes: []string{"mcp"}, Endpoint: oauth2.Endpoint{
		DeviceAuthURL: s.Endpoint + "/device_authorization", TokenURL: s.Endpoint + "/token", AuthStyle: oauth2.AuthStyleInParams,
	}}
}

func beginDevice(t *testing.T, config *oauth2.Config, s *harness.Server) *oauth2.DeviceAuthResponse {
	t.Helper()
	waiting, err := config.DeviceAuth(t.Context(), oauth2.SetAuthURLParam("resource", s.Endpoint))
	if err != nil {
		t.Fatalf("device authorization: %v", err)
	}
	return waiting
}

// letDeviceIn is a person who opens the address that the device shows.
func letDeviceIn(t *testing.T, b *browser.Browser, waiting *oauth2.DeviceAuthResponse) {
	t.Helper()
	stop := open(t, b, waiting.VerificationURIComplete, browser.Visit{})
	if stop.Client || !strings.Contains(stop.Page.Title, "Your device is let in") {
		t.Fatalf("letting the device in ended with %d on the page %q: %s\nway: %q", stop.Page.Status, stop.Page.Title, stop.Page.Text, stop.Way)
	}
}
