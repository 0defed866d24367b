-- Programs that wait for somebody to let them in at another device (RFC 8628).

-- +goose Up
CREATE TABLE devices (
	realm      TEXT   NOT NULL,
	user_hash  BYTEA  NOT NULL, -- SHA-256 of the user code
	hash       BYTEA  NOT NULL, -- of the device code
	client_id  TEXT   NOT NULL,
	resource   TEXT   NOT NULL,
	scopes     TEXT   NOT NULL,
	expires_at BIGINT NOT NULL,
	decided    BIGINT NOT NULL,
	PRIMARY KEY (realm, user_hash)
);
CREATE UNIQUE INDEX devices_hash ON devices (realm, hash);
CREATE INDEX devices_expires_at ON devices (expires_at);
