package authserver

import "slices"

// EventKind is what an [Event] is about.
type EventKind string

// Kinds of events. There are no others.
const (
	// EventRegistration: a client asked to be registered.
	EventRegistration EventKind = "registration"
	// EventLogin: a person logged in, or tried to.
	EventLogin EventKind = "login"
	// EventTokens: a client asked for tokens. GrantType says by what.
	EventTokens EventKind = "tokens"
	// EventRefreshReuse: a refresh token was used again, and its family ended.
	EventRefreshReuse EventKind = "refresh_reuse"
)

// Outcomes of an [Event], beside the codes of the [Error] sentinels of this
// package.
const (
	OutcomeOK = "ok"
	// OutcomeWrongPassword: name and password did not fit. The person may try
	// again, so the login is not over.
	OutcomeWrongPassword = "wrong_password"
)

// grantOther stands for every grant type that this server does not have.
const grantOther = "other"

// Event is something that happened, for whoever counts. All its values come
// from closed sets and none from a request.
type Event struct {
	Kind EventKind
	// GrantType of an [EventTokens]: authorization_code, refresh_token,
	// urn:ietf:params:oauth:grant-type:device_code, or other.
	GrantType string
	// Outcome is [OutcomeOK], [OutcomeWrongPassword], or the code of an
	// [Error], such as invalid_grant.
	Outcome string
}

// tell tells of an event that ended with err, or well.
func (s *Server) tell(kind EventKind, err error) {
	s.record(Event{Kind: kind, Outcome: outcomeOf(err)})
}

// tellTokens tells of a token request that ended with err, or well.
func (s *Server) tellTokens(grantType string, err error) {
	if !slices.Contains(s.grantTypes(), grantType) {
		grantType = grantOther
	}
	s.record(Event{Kind: EventTokens, GrantType: grantType, Outcome: outcomeOf(err)})
}

func (s *Server) record(e Event) {
	if s.cfg.Record != nil {
		s.cfg.Record(e)
	}
}

func outcomeOf(err error) string {
	if err == nil {
		return OutcomeOK
	}
	return asError(err).Code
}
