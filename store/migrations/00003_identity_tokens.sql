-- What the identity provider gave at a person's newest login, or since.

-- +goose Up
CREATE TABLE identity_tokens (
	realm      TEXT   NOT NULL,
	user_id    TEXT   NOT NULL,
	version    BIGINT NOT NULL,
	updated_at BIGINT NOT NULL,
	sealed     BYTEA  NOT NULL,
	PRIMARY KEY (realm, user_id)
);
-- Holds all that a sweep looks at: the rows themselves are large.
CREATE INDEX identity_tokens_updated_at ON identity_tokens (updated_at, realm, user_id);
