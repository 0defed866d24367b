package peer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/alter-mcp/caddy-alter-mcp/bench/internal/client"
)

// APIKey is the key that the vault takes, of the form without a checksum.
const APIKey = "alter_key_" + "benchbenchbenchbenchbenchbenchbenchbench"

// Routes of the vault that are counted.
const (
	RouteToken = "/sdk/token"
	RouteAudit = "/sdk/oauth/audit/api-call"
)

// vaultGrant is everybody's grant: the servers do not look at it.
const vaultGrant = "6f1c2a54-3f0e-4a3b-9d0c-5b8d1f2e7a90"

// maxVaultBody bounds what the vault reads, in bytes.
const maxVaultBody = 1 << 16

// Vault stands for the backend of the Alter Vault: logins at an identity
// provider that takes whoever sits at the browser, a token of [Provider] for
// everybody, and records that are checked and counted. Every call has to be
// signed. It is as cheap as that can be done.
type Vault struct {
	origin   string
	signing  []byte // derived from the API key
	key      *ecdsa.PrivateKey
	sessions sync.Map // session token: *vaultSession
	people   sync.Map // user token: name
	counts   map[string]*atomic.Int64
	handlers map[string]func([]byte) (int, any)
}

type vaultSession struct {
	once  sync.Once
	done  chan struct{} // closed when the person is through
	token string
}

// NewVault returns the vault at an origin.
func NewVault(origin string) (*Vault, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	v := &Vault{origin: origin, signing: sum([]byte(APIKey), "alter-signing-v1"), key: key, counts: make(map[string]*atomic.Int64)}
	v.handlers = map[string]func([]byte) (int, any){
		"/sdk/auth/session":      v.session,
		"/sdk/auth/poll":         v.poll,
		"/sdk/auth/verify-token": v.verify,
		RouteToken:               v.give,
		RouteAudit:               v.record,
	}
	for route := range v.handlers {
		v.counts[route] = new(atomic.Int64)
	}
	return v, nil
}

// Handler returns the vault's API, the login page, and the counts of good calls
// by route.
func (v *Vault) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /sdk/", v.api)
	mux.HandleFunc("GET /login", v.login)
	mux.HandleFunc("GET /counts", func(w http.ResponseWriter, _ *http.Request) {
		counts := make(map[string]int64, len(v.counts))
		for route, n := range v.counts {
			counts[route] = n.Load()
		}
		answerJSON(w, http.StatusOK, counts)
	})
	return mux
}

func (v *Vault) api(w http.ResponseWriter, r *http.Request) {
	handle := v.handlers[r.URL.Path]
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxVaultBody))
	switch {
	case handle == nil:
		answerJSON(w, http.StatusNotFound, refusal("not_found"))
		return
	case err != nil || !v.signed(r, body):
		answerJSON(w, http.StatusUnauthorized, refusal("invalid_signature"))
		return
	}
	status, answer := handle(body)
	if status < http.StatusBadRequest {
		v.counts[r.URL.Path].Add(1)
	}
	answerJSON(w, status, answer)
}

func refusal(code string) map[string]string { return map[string]string{"error": code, "message": code} }

// signed checks who calls. All routes are without a query.
func (v *Vault) signed(r *http.Request, body []byte) bool {
	h := r.Header
	hash := sha256.Sum256(body)
	text := strings.Join([]string{
		r.Method, r.URL.Path, h.Get("X-Alter-Timestamp"), h.Get("X-Alter-Nonce"), hex.EncodeToString(hash[:]), h.Get("X-Alter-Scope-Constraints"),
	}, "\n")
	for _, line := range [][2]string{
		{"request-rule", "X-Alter-Request-Rule"},
		{"caller", "X-Alter-Caller"},
		{"caller-type", "X-Alter-Caller-Type"},
		{"actor-id", "X-Alter-Actor-Id"},
		{"actor-context", "X-Alter-Context"},
	} {
		if value := h.Get(line[1]); value != "" {
			text += "\n" + line[0] + ":" + value
		}
	}
	return h.Get("X-Api-Key") == APIKey && h.Get("X-Alter-Nonce") != "" &&
		hmac.Equal([]byte(h.Get("X-Alter-Signature")), []byte(hex.EncodeToString(sum(v.signing, text))))
}

func sum(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// session begins a login.
func (v *Vault) session([]byte) (int, any) {
	token := rand.Text()
	v.sessions.Store(token, &vaultSession{done: make(chan struct{})})
	return http.StatusCreated, map[string]any{
		"session_token": token, "auth_url": v.origin + "/login?state=" + token,
		"expires_in": 600, "expires_at": time.Now().Add(10 * time.Minute).UTC().Format(time.RFC3339),
	}
}

// login is the identity provider's page: whoever opens it is logged in.
func (v *Vault) login(w http.ResponseWriter, r *http.Request) {
	name := r.Header.Get(client.PersonField)
	found, ok := v.sessions.Load(r.URL.Query().Get("state"))
	if !ok || name == "" {
		http.Error(w, "session or person is missing", http.StatusBadRequest)
		return
	}
	now := time.Now()
	token, err := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": v.origin, "sub": name, "aud": "bench", "iat": now.Unix(), "exp": now.Add(24 * time.Hour).Unix(),
		"email": name + "@bench.test", "email_verified": true, "name": name,
	}).SignedString(v.key)
	if err != nil {
		http.Error(w, "signing failed", http.StatusInternalServerError)
		return
	}
	session := found.(*vaultSession)
	session.once.Do(func() {
		v.people.Store(token, name)
		session.token = token
		close(session.done)
	})
	_, _ = io.WriteString(w, "You may close this tab.")
}

// poll says how far a login has come, and waits for its end as long as it is
// asked to.
func (v *Vault) poll(body []byte) (int, any) {
	var asked struct {
		Token string `json:"session_token"`
		Wait  int64  `json:"wait_ms"`
	}
	if json.Unmarshal(body, &asked) != nil {
		return http.StatusUnprocessableEntity, refusal("invalid_request")
	}
	found, ok := v.sessions.Load(asked.Token)
	if !ok {
		return http.StatusNotFound, refusal("session_not_found")
	}
	session := found.(*vaultSession)
	select {
	case <-session.done:
	default:
		select {
		case <-session.done:
		case <-time.After(time.Duration(min(asked.Wait, 30_000)) * time.Millisecond):
			return http.StatusOK, map[string]any{"status": "pending"}
		}
	}
	name, _ := v.people.Load(session.token)
	return http.StatusOK, map[string]any{
		"status": "completed", "user_token": session.token, "user_info": map[string]any{"sub": name, "name": name},
	}
}

func (v *Vault) verify(body []byte) (int, any) {
	var asked struct {
		Token string `json:"token"`
	}
	if json.Unmarshal(body, &asked) != nil {
		return http.StatusUnprocessableEntity, refusal("invalid_request")
	}
	name, ok := v.people.Load(asked.Token)
	if !ok {
		return http.StatusUnauthorized, refusal("invalid_token")
	}
	return http.StatusOK, map[string]any{"sub": name}
}

// give gives the token that the provider knows the person by.
func (v *Vault) give(body []byte) (int, any) {
	var asked struct {
		Provider string `json:"provider_id"`
		User     string `json:"user_token"`
		Request  struct {
			Method, URL string
		} `json:"request"`
	}
	if json.Unmarshal(body, &asked) != nil || asked.Provider == "" || asked.Request.Method == "" || asked.Request.URL == "" {
		return http.StatusUnprocessableEntity, refusal("invalid_request")
	}
	name, ok := v.people.Load(asked.User)
	if !ok {
		return http.StatusUnauthorized, refusal("invalid_user_token")
	}
	return http.StatusOK, map[string]any{
		"access_token": tokenPrefix + name.(string), "token_type": "Bearer", "grant_id": vaultGrant, "provider_id": asked.Provider,
		"expires_in": 8 * 3600, "expires_at": time.Now().Add(8 * time.Hour).UTC().Format(time.RFC3339),
		"scopes": []string{"profile"}, "injection_header": "Authorization", "injection_format": "Bearer {token}",
	}
}

// record takes the report of a call that went well.
func (v *Vault) record(body []byte) (int, any) {
	var report struct {
		Grant  string `json:"grant_id"`
		Status int    `json:"response_status"`
	}
	if err := json.Unmarshal(body, &report); err != nil || report.Grant != vaultGrant || report.Status != http.StatusOK {
		return http.StatusUnprocessableEntity, refusal(fmt.Sprintf("status %d of grant %.40s", report.Status, report.Grant))
	}
	return http.StatusOK, map[string]bool{"success": true}
}
