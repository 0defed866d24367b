package authserver

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// service answers each question when it is told to.
type service struct {
	asked  int
	answer chan *HostedPerson
	ended  error // of the last question that nobody waited for
}

func (s *service) ask(ctx context.Context, _ string, _ time.Duration) (*HostedPerson, error) {
	s.asked++
	select {
	case who := <-s.answer:
		return who, nil
	case <-ctx.Done():
		s.ended = ctx.Err()
		return nil, ctx.Err()
	}
}

// waited is how the wait of one request ended.
type waited struct {
	who *HostedPerson
	err error
}

// wait has a request wait for the login called handle.
func (w *hostedWaits) wait(ctx context.Context, handle string) <-chan waited {
	done := make(chan waited, 1)
	go func() {
		who, err := w.await(ctx, handle)
		done <- waited{who, err}
	}()
	return done
}

// The tabs of a person, or a flood, are one question to the service, also when
// the first of them leaves.
func TestHostedWaitsAskOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{answer: make(chan *HostedPerson)}
		w := hostedWaits{ask: s.ask}
		leaving, leave := context.WithCancel(t.Context())
		first := w.wait(leaving, "login")
		synctest.Wait()
		var others []<-chan waited
		for range 100 {
			others = append(others, w.wait(t.Context(), "login"))
		}
		synctest.Wait()
		leave()
		if got := <-first; !errors.Is(got.err, context.Canceled) {
			t.Errorf("who left got %v, %v", got.who, got.err)
		}
		alice := &HostedPerson{Subject: "alice"}
		s.answer <- alice
		for _, other := range others {
			if got := <-other; got.who != alice || got.err != nil {
				t.Errorf("got %v, %v, want alice", got.who, got.err)
			}
		}
		if s.asked != 1 || s.ended != nil {
			t.Errorf("%d questions, ended %v, want 1 that goes on", s.asked, s.ended)
		}
	})
}

// Logins have nothing to do with one another; a question that nobody waits for
// ends, and the next request asks anew.
func TestHostedWaitsAskAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, other := &service{answer: make(chan *HostedPerson)}, &service{answer: make(chan *HostedPerson)}
		w := hostedWaits{ask: func(ctx context.Context, handle string, wait time.Duration) (*HostedPerson, error) {
			if handle == "other" {
				return other.ask(ctx, handle, wait)
			}
			return s.ask(ctx, handle, wait)
		}}
		leaving, leave := context.WithCancel(t.Context())
		gone, stays := w.wait(leaving, "login"), w.wait(t.Context(), "other")
		synctest.Wait()
		leave()
		<-gone
		synctest.Wait()
		if !errors.Is(s.ended, context.Canceled) || other.ended != nil {
			t.Errorf("ended %v and %v, want the first alone", s.ended, other.ended)
		}
		again := w.wait(t.Context(), "login")
		alice, bob := &HostedPerson{Subject: "alice"}, &HostedPerson{Subject: "bob"}
		other.answer <- bob
		s.answer <- alice
		if got := <-again; got.who != alice || s.asked != 2 {
			t.Errorf("got %v after %d questions, want alice after 2", got.who, s.asked)
		}
		if got := <-stays; got.who != bob {
			t.Errorf("the other login: %v, want bob", got.who)
		}
		synctest.Wait()
		if len(w.under) != 0 {
			t.Errorf("%d questions are left", len(w.under))
		}
	})
}
