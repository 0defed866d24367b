package e2e

import (
	"bufio"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestAttackPlacesOfTokens: a token counts in one Authorization field of the
// scheme Bearer, and nowhere else.
//
// Security RS-01, RS-02, RS-11 to RS-15, RS-18.
func TestAttackPlacesOfTokens(t *testing.T) {
	a := newTarget(t)
	token := a.token(alice)
	const marker = "m4rker"
	for name, c := range map[string]struct {
		path, contentType, body string
		header                  []string
		want                    []int
	}{
		"in the query":               {path: "/mcp?access_token=" + token, want: []int{401}},
		"in a form":                  {contentType: "application/x-www-form-urlencoded", body: "access_token=" + token, want: []int{400, 401, 415}},
		"in a cookie":                {header: []string{"Cookie", "access_token=" + token + "; Authorization=Bearer " + token}, want: []int{401}},
		"by Basic":                   {header: []string{"Authorization", "Basic " + token}, want: []int{400, 401}},
		"by DPoP":                    {header: []string{"Authorization", "DPoP " + token}, want: []int{400, 401}},
		"without a scheme":           {header: []string{"Authorization", token}, want: []int{400, 401}},
		"with two schemes":           {header: []string{"Authorization", "Bearer Bearer " + token}, want: []int{400, 401}},
		"in a list":                  {header: []string{"Authorization", "Bearer " + token + ", Bearer x"}, want: []int{400, 401}},
		"twice":                      {header: []string{"Authorization", "Bearer " + token, "Authorization", "Bearer " + token}, want: []int{400, 401}},
		"good, then bad":             {header: []string{"Authorization", "Bearer " + token, "Authorization", "Bearer x"}, want: []int{400, 401}},
		"bad, then good":             {header: []string{"Authorization", "Bearer x", "Authorization", "Bearer " + token}, want: []int{400, 401}},
		"half a megabyte":            {header: []string{"Authorization", "Bearer " + strings.Repeat("a", 500_000)}, want: []int{400, 401, 431}},
		"two megabytes":              {header: []string{"Authorization", "Bearer " + strings.Repeat("a", 2_000_000)}, want: []int{400, 401, 431}},
		"made up, with a marker":     {header: []string{"Authorization", `Bearer ` + marker + `", realm="` + marker}, want: []int{400, 401}},
		"marker in query and fields": {path: "/mcp?scope=" + marker, header: []string{"X-Forwarded-Host", marker + ".example", "Mcp-Name", marker}, want: []int{401}},
	} {
		t.Run(name, func(t *testing.T) {
			a := *a
			a.T = t
			if c.path == "" {
				c.path = "/mcp"
			}
			if c.contentType == "" {
				c.contentType, c.body = jsonType, whoami
			}
			r := a.send("POST", c.path, strings.NewReader(c.body), append(c.header, "Content-Type", c.contentType)...)
			if !slices.Contains(c.want, r.status) || strings.Contains(r.body, "result") {
				t.Errorf("answer = %d %s, want one of %v", r.status, r.body, c.want)
			}
			challenge := r.header.Get("Www-Authenticate")
			if r.status == 401 && !strings.Contains(challenge, `resource_metadata="http://`+a.host+`/`) {
				t.Errorf("challenge = %q, want it to name the resource metadata", challenge)
			}
			if strings.Contains(challenge+r.body, marker) {
				t.Errorf("answer shows what was sent: %q %s", challenge, r.body)
			}
		})
	}
	for _, scheme := range []string{"Bearer", "bearer", "BEARER"} {
		if r := a.send("POST", "/mcp", strings.NewReader(whoami), "Authorization", scheme+" "+token, "Content-Type", jsonType); r.status != 200 {
			t.Errorf("scheme %s = %d %s, want 200", scheme, r.status, r.body)
		}
	}
}

// TestAttackConnectionOfAnother: each request on a connection stands for itself.
//
// Security RS-16, ISO-02.
func TestAttackConnectionOfAnother(t *testing.T) {
	a := newTarget(t)
	tokens := []string{a.token(alice), a.token(bob)}

	without := strings.Replace(a.rawCall("", whoami), "Authorization: Bearer \r\n", "", 1)
	replies := a.raw(a.rawCall(tokens[0], whoami) + without + a.rawCall("x", whoami) + without)
	var statuses []int
	for _, r := range replies {
		statuses = append(statuses, r.status)
	}
	if !slices.Equal(statuses, []int{200, 401, 401, 401}) {
		t.Errorf("a good call, then others on its connection = %v, want 200 and then 401 each", statuses)
	}

	const rounds = 20
	conn := a.dial()
	go func() { // the server answers while we write
		for i := range rounds {
			if _, err := io.WriteString(conn, a.rawCall(tokens[i%2], callOf(i, "whoami", "{}"))); err != nil {
				t.Errorf("sending call %d: %v", i, err)
				return
			}
		}
	}()
	in := bufio.NewReader(conn)
	for i := range rounds {
		r, err := readReply(in)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		own := []string{alice.Name, bob.Name}[i%2]
		if r.status != http.StatusOK || !strings.Contains(r.body, `"id":`+strconv.Itoa(i)) || !strings.Contains(r.body, "I am "+own+"@") {
			t.Errorf("answer %d = %d %s, want that of %s", i, r.status, r.body, own)
		}
	}
}

// TestAttackSpellingsOfThePath: whatever a path is made to look like, nothing is
// behind it without a token.
//
// Security RS-17, AUTHZ-27, HTTP-07.
func TestAttackSpellingsOfThePath(t *testing.T) {
	a := newTarget(t)
	for _, path := range []string{
		"/mcp", "/mcp/", "//mcp", "///mcp", "/./mcp", "/x/../mcp", "/mcp/.", "/mcp/..", "/mcp/../mcp", "/MCP", "/Mcp",
		"/%6dcp", "/%6Dcp", "/mcp%2f", "/mcp%2F..%2fmcp", "/mcp;a=b", "/mcp?x=1", "/mcp/?access_token=x", "/mcp%00", "/mcp%20",
		"/mcp\t", `/mcp\`, "/mcp/%2e%2e/mcp", "/mcp.", "/mcp/x", "http://" + a.host + "/mcp", "http://evil.example/mcp", "*", "mcp",
	} {
		request := strings.Replace(a.rawCall("", whoami), "POST /mcp ", "POST "+path+" ", 1)
		request = strings.Replace(request, "Authorization: Bearer ", "Connection: close", 1)
		for _, r := range a.raw(request) {
			// Caddy itself answers 200 without content for a host of no site.
			if r.status < 400 && r.body != "" || strings.Contains(r.body, "result") {
				t.Errorf("POST %q = %d %s, want 4xx", path, r.status, r.body)
			}
			a.checkLocation("POST "+path, r)
		}
	}
	for _, path := range []string{
		"//evil.example", "//evil.example/mcp", "/mcp//evil.example", "/%2f%2fevil.example", "/mcp/%2f%2fevil.example/", `/\evil.example`,
		"/mcp/login?next=https://evil.example", "/mcp/login?return_to=//evil.example", "/mcp/consent?redirect_uri=https://evil.example",
		"/mcp/logout?post_logout_redirect_uri=https://evil.example", "/mcp/account?return=https://evil.example",
		"/mcp/connect?link=https://evil.example", "/mcp/connect/callback?state=x&redirect_uri=https://evil.example",
		"/mcp/login/callback?state=x&code=y", "/mcp/authorize?redirect_uri=https://evil.example&client_id=x",
		"/.well-known//evil.example", "/.well-known/oauth-authorization-server//evil.example",
	} {
		for _, method := range []string{"GET", "HEAD", "POST"} {
			for _, r := range a.raw(method + " " + path + " HTTP/1.1\r\nHost: " + a.host + "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n") {
				a.checkLocation(method+" "+path, r)
			}
		}
	}
	for _, path := range []string{"/", "/unknown", "/mcp/unknown", "/mcp/assets/none.css", "/.well-known/unknown", "/.git/config"} {
		r := a.send("GET", path, nil)
		if r.status != 404 || strings.Contains(strings.ToLower(r.body), "goroutine") || strings.Contains(r.body, ".go") {
			t.Errorf("GET %s = %d %q, want a plain 404", path, r.status, r.body)
		}
	}
}

// checkLocation fails the test when an answer leads to another host.
func (a *target) checkLocation(what string, r reply) {
	a.Helper()
	to := r.header.Get("Location")
	if own := strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "//") && !strings.HasPrefix(to, `/\`); to != "" && !own && !strings.HasPrefix(to, "http://"+a.host+"/") {
		a.Errorf("%s = %d, Location %q, want none off the origin", what, r.status, to)
	}
}
