package alter

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

func TestCheckAPIKey(t *testing.T) {
	body := strings.Repeat("a", 22)
	for name, c := range map[string]struct {
		key  string
		want KeyKind
	}{
		"app":                  {altertest.DefaultAPIKey, KeyApp},
		"agent":                {"alter_ak_" + body + "_" + keyChecksum("ak", body), KeyAgent},
		"derived":              {"alter_dk_" + body + "_" + keyChecksum("dk", body), KeyDerived},
		"publishable":          {"alter_pk_" + body + "_" + keyChecksum("pk", body), KeyPublishable},
		"legacy":               {"alter_key_" + strings.Repeat("aZ_-9", 8), KeyLegacy},
		"empty":                {"", ""},
		"legacy, too short":    {"alter_key_" + strings.Repeat("a", 39), ""},
		"legacy, bad letter":   {"alter_key_" + strings.Repeat("a", 39) + "é", ""},
		"another kind's sum":   {"alter_ak_" + body + "_" + keyChecksum("rk", body), ""},
		"no kind":              {"alter_xk_" + body + "_" + keyChecksum("xk", body), ""},
		"upper case":           {strings.ToUpper(altertest.DefaultAPIKey), ""},
		"a line break at end":  {altertest.DefaultAPIKey + "\n", ""},
		"an underscore inside": {"alter_rk_fakevaultfake_aultfake_2whbul", ""},
	} {
		t.Run(name, func(t *testing.T) {
			kind, err := CheckAPIKey(vaultclient.NewSecret(c.key))
			if kind != c.want && c.want != "" || (err == nil) != (c.want != "") {
				t.Errorf("got %q, %v", kind, err)
			}
			if err != nil && len(c.key) > 10 && strings.Contains(err.Error(), c.key) {
				t.Errorf("the error repeats the key: %v", err)
			}
		})
	}
	if _, err := New(Config{APIKey: vaultclient.NewSecret("alter_pk_" + body + "_" + keyChecksum("pk", body))}); err == nil {
		t.Error("a publishable key was accepted")
	}
}

func TestParseBaseURL(t *testing.T) {
	for s, ok := range map[string]bool{
		"https://vault.example": true, "https://vault.example/": true, "https://vault.example:8443/prefix": true,
		"http://localhost:1": true, "http://127.0.0.1": true, "http://[::1]:9": true,
		"http://vault.example": false, "ftp://vault.example": false, "vault.example": false, "": false,
		"https://": false, "https://:443": false, "https://vault.example?": false, "https://vault.example/?a=b": false,
		"https://vault.example#": false, "https://u:hunter2@vault.example": false,
		"https://u:hunter2@[bad": false, "u:hunter2@vault.example": false, "http://localhost.evil.example": false,
	} {
		_, err := parseBaseURL(s)
		if (err == nil) != ok {
			t.Errorf("%q: %v", s, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error repeats a password: %v", err)
		}
	}
}

func TestCallerAndContext(t *testing.T) {
	for name, c := range map[string]struct {
		caller Caller
		kind   KeyKind
		want   CallerType
	}{
		"an app's key":   {Caller{Name: "x"}, KeyApp, CallerService},
		"an agent's key": {Caller{Name: "x"}, KeyAgent, CallerAgent},
		"said":           {Caller{Name: "x", Type: CallerAgent}, KeyApp, CallerAgent},
		"255":            {Caller{Name: strings.Repeat("x", 255)}, KeyApp, CallerService},
		"256":            {Caller{Name: strings.Repeat("x", 256)}, KeyApp, ""},
		"a line break":   {Caller{Name: "a\r\nb"}, KeyApp, ""},
		"an umlaut":      {Caller{Name: "ä"}, KeyApp, ""},
		"a blank after":  {Caller{Name: "a "}, KeyApp, ""},
		"no type":        {Caller{Name: "a", Type: "robot"}, KeyApp, ""},
	} {
		got, err := c.caller.withType(c.kind)
		if (err == nil) != (c.want != "") || err == nil && got.Type != c.want {
			t.Errorf("%s: got %q, %v", name, got.Type, err)
		}
	}
	many := map[string]string{}
	for i := range 21 {
		many[fmt.Sprint(i)] = "v"
	}
	for name, c := range map[string]struct {
		values map[string]string
		want   string
		bad    bool
	}{
		"none":             {nil, "", false},
		"beyond ASCII":     {map[string]string{"k": "é😀<&>\"\x7f\n"}, `{"k":"\u00e9\ud83d\ude00<&>\"\u007f\n"}`, false},
		"no UTF-8":         {map[string]string{"k": "a\xff"}, `{"k":"a\ufffd"}`, false},
		"21 names":         {many, "", true},
		"an empty name":    {map[string]string{"": "v"}, "", true},
		"a name of 65":     {map[string]string{strings.Repeat("k", 65): "v"}, "", true},
		"a value of 513":   {map[string]string{"k": strings.Repeat("v", 513)}, "", true},
		"512 of 12 bytes":  {map[string]string{"k": strings.Repeat("😀", 512)}, "", true},
		"64 of characters": {map[string]string{strings.Repeat("é", 64): ""}, `{"` + strings.Repeat(`\u00e9`, 64) + `":""}`, false},
	} {
		got, err := contextHeader(c.values)
		if got != c.want || (err != nil) != c.bad {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	outer := WithAuditContext(t.Context(), map[string]string{"a": "1", "b": "1"})
	inner := WithAuditContext(outer, map[string]string{"b": "2"})
	if diff := cmp.Diff([]map[string]string{{"a": "1", "b": "1"}, {"a": "1", "b": "2"}},
		[]map[string]string{auditContext(outer), auditContext(inner)}); diff != "" {
		t.Error(diff)
	}
}

func TestConstraints(t *testing.T) {
	f := newFlow(t, Config{})
	for name, con := range map[string]Constraints{
		"nothing":            {},
		"a comma":            {Scopes: []string{"a,b"}},
		"an empty scope":     {Scopes: []string{""}},
		"a rule of no type":  {Rule: &Rule{Body: json.RawMessage(`{}`)}},
		"a rule of no body":  {Rule: &Rule{Type: "json_match"}},
		"a body of a list":   {Rule: &Rule{Type: "json_match", Body: json.RawMessage(`[]`)}},
		"a body of garbage":  {Rule: &Rule{Type: "json_match", Body: json.RawMessage(`{`)}},
		"a rule of 4 KiB":    {Rule: &Rule{Type: "json_match", Body: json.RawMessage(`{"a":"` + strings.Repeat("x", 4000) + `"}`)}},
		"a body of null":     {Rule: &Rule{Type: "content_match", Body: json.RawMessage(`null`)}},
		"a scope with break": {Scopes: []string{"a\n"}},
	} {
		if _, err := f.client.WithConstraints(con); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	c, err := f.client.WithConstraints(Constraints{
		Scopes: []string{"a", "b"}, Rule: &Rule{Type: "json_match", Body: json.RawMessage(`{"k": "é"}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.WithConstraints(Constraints{Scopes: []string{"a"}}); err == nil {
		t.Error("constraints were nested")
	}
	for range 2 { // a rule is asked for each time, the client without one is not touched
		if _, _, err := f.get(c, f.use("alice"), "ok"); err != nil {
			t.Fatal(err)
		}
	}
	f.wantCounts(2, 2)
	header := map[string]string{}
	for _, h := range f.Calls()[0].Header {
		header[h.Name] = h.Value
	}
	if header["X-Alter-Scope-Constraints"] != "a,b" || header["X-Alter-Request-Rule"] == "" {
		t.Errorf("headers %v", header)
	}
	if f.client.constraints != "" || f.client.rule != "" {
		t.Error("the client itself was constrained")
	}
}

func TestRateOf(t *testing.T) {
	now := time.Unix(1000, 0)
	for name, c := range map[string]struct {
		header map[string]string
		want   RateLimit
		ok     bool
	}{
		"old":            {map[string]string{"X-RateLimit-Limit": "600", "X-RateLimit-Remaining": "5", "X-RateLimit-Reset": "1060"}, RateLimit{600, 5, time.Unix(1060, 0)}, true},
		"draft":          {map[string]string{"RateLimit-Policy": `"default";q=600;w=60`, "RateLimit": `"default";r=599; t=58`}, RateLimit{600, 599, time.Unix(1058, 0)}, true},
		"a name with ;":  {map[string]string{"RateLimit-Policy": `"a;q=1,b";q=600`, "RateLimit": `"x";r=1;t=2, "y";r=3;t=4`}, RateLimit{600, 1, time.Unix(1002, 0)}, true},
		"no end of name": {map[string]string{"RateLimit-Policy": `"a;q=1`, "RateLimit": `"x";r=1;t=2`}, RateLimit{}, false},
		"one is missing": {map[string]string{"X-RateLimit-Limit": "600", "X-RateLimit-Remaining": "5"}, RateLimit{}, false},
		"negative":       {map[string]string{"X-RateLimit-Limit": "600", "X-RateLimit-Remaining": "-5", "X-RateLimit-Reset": "1060"}, RateLimit{}, false},
		"eleven digits":  {map[string]string{"X-RateLimit-Limit": "60000000000", "X-RateLimit-Remaining": "5", "X-RateLimit-Reset": "1060"}, RateLimit{}, false},
	} {
		h := http.Header{}
		for k, v := range c.header {
			h.Set(k, v)
		}
		got, ok := rateOf(h, now)
		if ok != c.ok || !cmp.Equal(got, c.want) {
			t.Errorf("%s: got %v, %v", name, got, ok)
		}
	}
}

func TestBearerChallenge(t *testing.T) {
	for field, want := range map[string]map[string]string{
		`Bearer error="insufficient_scope", scope="a b"`:           {"error": "insufficient_scope", "scope": "a b"},
		`bearer ERROR = "x" , error="y"`:                           {"error": "x"},
		`Basic realm="a, Bearer error=\"no\"", Bearer error="yes"`: {"error": "yes"},
		`Negotiate abc==, Bearer error="x"`:                        {"error": "x"},
		`Negotiate abc, Bearer error="x"`:                          {"error": "x"},
		`Negotiate, Bearer error=x`:                                {"error": "x"},
		`Bearer`:                                                   {},
		`Bearer scope="a\"b"`:                                      {"scope": `a"b`},
		`Bearer error="insufficient_scope", scope="no end`:         {"error": "insufficient_scope"},
		`Basic realm="x"`:                                          nil,
		`=`:                                                        nil,
		``:                                                         nil,
		`Bearer realm=, error="x"`:                                 {"error": "x"},
		`,,, Bearer ,, error="x",, ,scope=y`:                       {"error": "x", "scope": "y"},
		`Bearer realm="r", error="invalid_token", Digest error="ignored"`: {"realm": "r", "error": "invalid_token"},
	} {
		if diff := cmp.Diff(want, bearerChallenge(http.Header{"Www-Authenticate": {field}})); diff != "" {
			t.Errorf("%s: %s", field, diff)
		}
	}
}

func TestAWSEndpoint(t *testing.T) {
	for host, want := range map[string]string{
		"s3.us-east-1.amazonaws.com": "s3 us-east-1", "my.bucket.s3.eu-west-1.amazonaws.com": "s3 eu-west-1",
		"b.s3-fips.dualstack.us-east-2.amazonaws.com": "s3 us-east-2", "b.s3-eu-west-1.amazonaws.com": "s3 eu-west-1",
		"b.s3.amazonaws.com": "s3 us-east-1", "s3-external-1.amazonaws.com": "s3 us-east-1", "b.s3.cn-north-1.amazonaws.com.cn": "s3 cn-north-1",
		"kms-fips.us-west-2.amazonaws.com": "kms us-west-2", "LAMBDA.eu-west-1.amazonaws.com.": "lambda eu-west-1",
		"bedrock-runtime.us-east-1.amazonaws.com": "bedrock us-east-1", "email.us-gov-west-1.amazonaws.com": "ses us-gov-west-1",
		"ec2.us-west-2.api.aws": "ec2 us-west-2", "vpce-1-a.monitoring.us-east-2.vpce.amazonaws.com": "monitoring us-east-2",
		"streams.dynamodb.us-east-1.amazonaws.com": "dynamodb us-east-1", "x1.execute-api.us-east-1.amazonaws.com": "execute-api us-east-1",
		"unknown.dotted.us-east-1.amazonaws.com": " ", "iam.amazonaws.com": "iam us-east-1", "iam.us-gov.amazonaws.com": "iam us-gov-west-1",
		"iam.amazonaws.com.cn": " ", "route53.amazonaws.com.cn": "route53 cn-northwest-1", "sts.us-gov.amazonaws.com": " ",
		"example.amazonaws.com": " ", "s3.us-east-1.amazonaws.com.evil.example": " ", "127.0.0.1": " ", "": " ", ".amazonaws.com": " ",
		"us-east-1.amazonaws.com": " ", ".us-east-1.amazonaws.com": " ",
	} {
		service, region := awsEndpoint(host)
		if got := service + " " + region; got != want {
			t.Errorf("%s: got %q, want %q", host, got, want)
		}
	}
}

// Security LOG-01.
func TestNothingPrintsASecret(t *testing.T) {
	c, err := New(Config{APIKey: vaultclient.NewSecret(altertest.DefaultAPIKey)})
	if err != nil {
		t.Fatal(err)
	}
	token := (&tokenAnswer{AccessToken: "tok-secret", GrantID: "g"}).token(time.Now())
	use := Use{Grant: Grant{UserToken: vaultclient.NewSecret("jwt-secret")}}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		for _, v := range []any{c, token, *token, use, &use} {
			text := fmt.Sprintf(format, v)
			if strings.Contains(text, "secret") || strings.Contains(text, altertest.DefaultAPIKey) {
				t.Errorf("%s: %s", format, text)
			}
		}
	}
	if _, err := io.WriteString(io.Discard, c.String()); err != nil || c.KeyKind() != KeyApp {
		t.Errorf("kind %q", c.KeyKind())
	}
}
