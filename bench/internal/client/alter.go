package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"golang.org/x/net/html"
)

// follow goes on from a page that waits for a login in another tab: it opens the
// page's first link elsewhere, which logs the person in, and then what the page
// asks for by itself. It returns nil where a page does not wait.
func (b *Browser) follow(p *page) (*page, error) {
	_, next, waits := strings.Cut(p.Header.Get("Refresh"), "url=")
	if !waits {
		return nil, nil
	}
	to, err := p.at.Parse(next)
	if err != nil {
		return nil, err
	}
	if login := elsewhere(p); login != nil {
		if err := b.open(login); err != nil {
			return nil, err
		}
	}
	return b.send(http.MethodGet, to, "", nil)
}

// open opens a page that has to be there.
func (b *Browser) open(at *url.URL) error {
	p, err := b.send(http.MethodGet, at, "", nil)
	if err == nil && p.Status != http.StatusOK {
		err = fmt.Errorf("status %d at %s: %.200s", p.Status, at.Path, p.Body)
	}
	return err
}

// elsewhere returns a page's first link to another host.
func elsewhere(p *page) *url.URL {
	tokens := html.NewTokenizer(bytes.NewReader(p.Body))
	for tokens.Next() != html.ErrorToken {
		token := tokens.Token()
		if token.Type != html.StartTagToken || token.Data != "a" {
			continue
		}
		if to, err := p.at.Parse(attributes(token)["href"]); err == nil && to.Host != p.at.Host {
			return to
		}
	}
	return nil
}

// What the bridge page of the Alter SDK has in its script.
var (
	bridgeLogin = regexp.MustCompile(`var authUrl = (".*?");`)
	bridgePoll  = regexp.MustCompile(`var pollUrl = "(.*?)"`)
)

// bridge does by hand what the script of the Alter SDK's bridge page does: it
// opens the login, and asks how that ended. It returns the code.
func (b *Browser) bridge(p *page) (string, error) {
	var login string
	found, poll := bridgeLogin.FindSubmatch(p.Body), bridgePoll.FindSubmatch(p.Body)
	if found == nil || poll == nil || json.Unmarshal(found[1], &login) != nil {
		return "", fmt.Errorf("no bridge page: status %d at %s: %.200s", p.Status, p.at.Path, p.Body)
	}
	at, err := url.Parse(login)
	if err == nil {
		err = b.open(at)
	}
	if err != nil {
		return "", err
	}
	if at, err = p.at.Parse(string(poll[1])); err != nil {
		return "", err
	}
	at.RawQuery = p.at.RawQuery
	answer, err := b.send(http.MethodGet, at, "", nil)
	if err != nil {
		return "", err
	}
	var end struct{ Status, Code string }
	if err := json.Unmarshal(answer.Body, &end); err != nil || end.Status != "completed" || end.Code == "" {
		return "", fmt.Errorf("the bridge's login: status %d: %.200s", answer.Status, answer.Body)
	}
	return end.Code, nil
}

// BridgeLogin is [Browser.Login] at a server of the Alter SDK.
func (b *Browser) BridgeLogin(s *Server, client string) (*Tokens, error) {
	q, verifier := authorization(s, client)
	back, end, err := b.visit(s.Authorization+"?"+q.Encode(), redirectURI)
	if err != nil {
		return nil, fmt.Errorf("logging in: %w", err)
	}
	if back != nil {
		return nil, errors.New("logging in: nobody had to: " + back.Query().Get("error"))
	}
	code, err := b.bridge(end)
	if err != nil {
		return nil, fmt.Errorf("logging in: %w", err)
	}
	return b.exchange(s, client, code, verifier)
}
