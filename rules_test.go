package altermcp

import (
	"strings"
	"testing"
)

// Security ISO-07.
func TestRulesAdmit(t *testing.T) {
	alice := someone{"https://idp.example", "alice", "Alice@Acme.com", true, []string{"engineering", "ops"}}
	unverified := someone{"https://idp.example", "mallory", "ceo@acme.com", false, nil}
	local := someone{localIssuer, "alice", "", false, nil}
	nobody := someone{"https://idp.example", "nobody", "", true, nil}
	for name, tc := range map[string]struct {
		rules  Rules
		person someone
		want   bool
	}{
		"no rules":                     {Rules{}, alice, true},
		"no rules, unverified":         {Rules{}, unverified, true},
		"address, other case":          {Rules{Allow: []Rule{{Email: []string{"aLICE@acme.COM"}}}}, alice, true},
		"another address":              {Rules{Allow: []Rule{{Email: []string{"bob@acme.com"}}}}, alice, false},
		"all of a domain":              {Rules{Allow: []Rule{{Email: []string{"*@acme.com"}}}}, alice, true},
		"domain":                       {Rules{Allow: []Rule{{Domain: []string{"ACME.com"}}}}, alice, true},
		"subdomain is another":         {Rules{Allow: []Rule{{Domain: []string{"mail.acme.com"}}}}, alice, false},
		"parent domain is another":     {Rules{Allow: []Rule{{Domain: []string{"com"}}}}, alice, false},
		"suffix of a domain":           {Rules{Allow: []Rule{{Domain: []string{"me.com"}}}}, alice, false},
		"address that is not verified": {Rules{Allow: []Rule{{Email: []string{"*@acme.com"}}}}, unverified, false},
		"domain that is not verified":  {Rules{Allow: []Rule{{Domain: []string{"acme.com"}}}}, unverified, false},
		"denied and not verified":      {Rules{Deny: []Rule{{Domain: []string{"acme.com"}}}}, unverified, true},
		"no address":                   {Rules{Allow: []Rule{{Domain: []string{"acme.com"}}}}, nobody, false},
		"quoted local part with an at": {Rules{Allow: []Rule{{Domain: []string{"acme.com"}}}}, someone{"https://idp.example", "x", `"a@acme.com"@evil.example`, true, nil}, false},
		"group":                        {Rules{Allow: []Rule{{Group: []string{"sales", "ops"}}}}, alice, true},
		"group in another case":        {Rules{Allow: []Rule{{Group: []string{"OPS"}}}}, alice, false},
		"subject":                      {Rules{Allow: []Rule{{Subject: []string{"alice"}}}}, alice, true},
		"subject in another case":      {Rules{Deny: []Rule{{Subject: []string{"Alice"}}}}, alice, true},
		"local account, other case":    {Rules{Deny: []Rule{{Subject: []string{"bob", " ALICE"}}}}, local, false},
		"another local account":        {Rules{Allow: []Rule{{Subject: []string{"alicia"}}}}, local, false},
		"lines are alternatives":       {Rules{Allow: []Rule{{Group: []string{"sales"}}, {Domain: []string{"acme.com"}}}}, alice, true},
		"deny wins":                    {Rules{Allow: []Rule{{Any: true}}, Deny: []Rule{{Group: []string{"ops"}}}}, alice, false},
		"deny of others":               {Rules{Deny: []Rule{{Group: []string{"sales"}}}}, alice, true},
		"any":                          {Rules{Allow: []Rule{{Any: true}}}, nobody, true},
		"beyond ASCII, other case":     {Rules{Allow: []Rule{{Email: []string{"JÖRG@acme.com"}}}}, someone{"https://idp.example", "j", "jörg@acme.com", true, nil}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.rules.admit(tc.person); got != tc.want {
				t.Errorf("admit(%+v) = %v, want %v", tc.person, got, tc.want)
			}
		})
	}
}

func TestRulesCheck(t *testing.T) {
	for name, tc := range map[string]struct {
		rules Rules
		want  string
	}{
		"good":          {Rules{Allow: []Rule{{Email: []string{"a@b.c", "*@b.c"}}, {Any: true}}, Deny: []Rule{{Subject: []string{"x"}}}}, ""},
		"nothing":       {Rules{Allow: []Rule{{}}}, "allow 0: want exactly one"},
		"two at once":   {Rules{Deny: []Rule{{Group: []string{"a"}, Any: true}}}, "deny 0: want exactly one"},
		"deny any":      {Rules{Deny: []Rule{{Any: true}}}, "nobody could use it"},
		"no address":    {Rules{Allow: []Rule{{Email: []string{"acme.com"}}}}, `email "acme.com": want`},
		"other pattern": {Rules{Allow: []Rule{{Email: []string{"a*@acme.com"}}}}, `email "a*@acme.com": want`},
		"any domain":    {Rules{Allow: []Rule{{Email: []string{"*@*"}}}}, `email "*@*": want`},
		"no domain":     {Rules{Allow: []Rule{{Domain: []string{"@acme.com"}}}}, `domain "@acme.com": want`},
	} {
		t.Run(name, func(t *testing.T) {
			err := tc.rules.check()
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("check() = %v, want %q", err, tc.want)
			}
		})
	}
}
