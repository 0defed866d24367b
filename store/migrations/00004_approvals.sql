-- Which approval a person's call waits for at the vault, for clients that do not
-- keep its id.

-- +goose Up
CREATE TABLE approvals (
	realm      TEXT   NOT NULL,
	user_id    TEXT   NOT NULL,
	call       BYTEA  NOT NULL, -- SHA-256 of what is called
	id         TEXT   NOT NULL,
	expires_at BIGINT NOT NULL,
	PRIMARY KEY (realm, user_id, call)
);
CREATE INDEX approvals_expires_at ON approvals (expires_at);
