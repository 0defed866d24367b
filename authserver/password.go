package authserver

import (
	"context"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/text/cases"

	"github.com/alter-mcp/caddy-alter-mcp/internal/web"
)

// Limits of password logins, each refilled over passwordWindow. From one address
// a name is given few tries; from all together it is given more, so that nobody
// locks somebody else out by a handful of wrong passwords.
const (
	passwordTriesPerPair = 10 // one name from one address
	passwordTriesPerAddr = 50
	passwordTriesPerName = 200
	passwordWindow       = 10 * time.Minute
	maxUserName          = 256
	maxPassword          = 1024
)

// PasswordChecker returns who logs in with that name and password, or nil when
// they do not fit. It takes as long for an unknown name as for a known one.
type PasswordChecker func(ctx context.Context, name, password string) (*Person, error)

// PasswordIdentity logs people in by a form for name and password.
type PasswordIdentity struct {
	check                  PasswordChecker
	byPair, byAddr, byName *limiter
	running                chan struct{}
}

// maxPasswordChecks bounds how many checks run at a time: each costs tens of
// milliseconds of CPU by intent.
const maxPasswordChecks = 4

// NewPasswordIdentity returns an identity that asks check.
func NewPasswordIdentity(check PasswordChecker) *PasswordIdentity {
	return &PasswordIdentity{
		check:   check,
		byPair:  newLimiter(passwordTriesPerPair, passwordWindow),
		byAddr:  newLimiter(passwordTriesPerAddr, passwordWindow),
		byName:  newLimiter(passwordTriesPerName, passwordWindow),
		running: make(chan struct{}, maxPasswordChecks),
	}
}

// passwordForm binds the login form to the login that it is for.
type passwordForm struct {
	Login string `json:"l"`
}

const passwordPurpose = "password form"

// Login implements [Identity].
func (p *PasswordIdentity) Login(w http.ResponseWriter, r *http.Request, l *Login) (*Person, error) {
	if r.Method != http.MethodPost {
		return nil, l.showPasswordForm(w, r, http.StatusOK, "", "")
	}
	s := l.server
	var form passwordForm
	values, err := s.readPageForm(w, r, passwordPurpose, &form)
	if err == nil && form.Login != l.ID {
		err = forgedForm(nil)
	}
	if err != nil {
		s.errorPage(w, r, asError(err))
		return nil, nil
	}
	if values.Get("decision") == "deny" {
		return nil, ErrAccessDenied.because(nil, "the person did not log in")
	}
	return p.tryPassword(w, r, l, strings.TrimSpace(values.Get("username")), values.Get("password"))
}

func (p *PasswordIdentity) tryPassword(w http.ResponseWriter, r *http.Request, l *Login, name, password string) (*Person, error) {
	if name == "" || len(name) > maxUserName || len(password) > maxPassword {
		return nil, l.showPasswordForm(w, r, http.StatusUnprocessableEntity, "", "Enter your user name and password.")
	}
	addr := l.server.cfg.ClientAddr(r)
	wait, undo := p.countTry(cases.Fold().String(name), addrKey(addr), l.server.cfg.Now())
	if wait > 0 {
		seconds := int(math.Ceil(wait.Seconds()))
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
		l.passwordRefused(addr, ErrTooManyRequests.Code)
		return nil, l.showPasswordForm(w, r, http.StatusTooManyRequests, name,
			"Too many tries. Wait "+(time.Duration(seconds)*time.Second).String()+" and try again.")
	}
	select {
	case p.running <- struct{}{}:
		defer func() { <-p.running }()
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	person, err := p.check(r.Context(), name, password)
	if err != nil || person != nil {
		undo() // only wrong passwords count
		return person, err
	}
	l.passwordRefused(addr, OutcomeWrongPassword)
	return nil, l.showPasswordForm(w, r, http.StatusUnprocessableEntity, name, "The user name or the password is wrong.")
}

// passwordRefused tells of a try that failed. The name stays out of the log:
// people type passwords there.
func (l *Login) passwordRefused(addr, outcome string) {
	l.server.record(Event{Kind: EventLogin, Outcome: outcome})
	l.server.log.Info("login refused", zap.String("client_id", l.attempt.clientID()), zap.String("client_ip", addr), zap.String("outcome", outcome))
}

// countTry counts a try and returns how long to wait when it is one too many.
// undo takes it back.
func (p *PasswordIdentity) countTry(name, addr string, now time.Time) (wait time.Duration, undo func()) {
	var undos []func()
	for _, l := range []struct {
		limiter *limiter
		key     string
	}{{p.byAddr, addr}, {p.byPair, name + "\x00" + addr}, {p.byName, name}} {
		var one func()
		if wait, one = l.limiter.count(l.key, now); wait > 0 {
			break
		}
		undos = append(undos, one)
	}
	return wait, func() {
		for _, one := range undos {
			one()
		}
	}
}

// showPasswordForm renders the form with what was wrong.
func (l *Login) showPasswordForm(w http.ResponseWriter, r *http.Request, status int, name, problem string) error {
	s := l.server
	token, err := s.seal(passwordPurpose, passwordForm{l.ID}, l.attempt.left(s.cfg.Now()))
	if err != nil {
		return err
	}
	form := web.Form{Action: l.path(nil), Token: token, Targets: l.attempt.Request.targets()}
	s.cfg.Pages.Login(w, r, status, web.Login{
		ClientName: l.ClientName, UserName: name, Error: problem, OtherWays: l.otherWays(), Form: form,
	})
	return nil
}
