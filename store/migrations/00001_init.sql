-- Both SQLite and PostgreSQL take this file. Times are milliseconds since 1970,
-- 0 where there is none. Lists are JSON. Hashes are SHA-256.

-- +goose Up
CREATE TABLE meta (
	name  TEXT NOT NULL PRIMARY KEY,
	value TEXT NOT NULL
);

-- Counts the rows of clients, so that one conditional write can keep the limit.
CREATE TABLE client_counts (
	realm   TEXT   NOT NULL PRIMARY KEY,
	clients BIGINT NOT NULL
);

CREATE TABLE clients (
	realm         TEXT   NOT NULL,
	id            TEXT   NOT NULL,
	name          TEXT   NOT NULL,
	redirect_uris TEXT   NOT NULL,
	auth_method   TEXT   NOT NULL,
	secret_hash   BYTEA,
	metadata      BYTEA  NOT NULL, -- sealed: it may name people
	created_at    BIGINT NOT NULL,
	used_at       BIGINT NOT NULL,
	PRIMARY KEY (realm, id)
);

CREATE TABLE users (
	realm        TEXT  NOT NULL,
	id           TEXT  NOT NULL,
	subject_hash BYTEA NOT NULL, -- of realm, issuer, subject
	sealed       BYTEA NOT NULL,
	PRIMARY KEY (realm, id),
	UNIQUE (realm, subject_hash)
);

CREATE TABLE sessions (
	realm      TEXT   NOT NULL,
	hash       BYTEA  NOT NULL,
	user_id    TEXT   NOT NULL,
	identity   TEXT   NOT NULL,
	created_at BIGINT NOT NULL,
	expires_at BIGINT NOT NULL,
	PRIMARY KEY (realm, hash)
);
CREATE INDEX sessions_expires_at ON sessions (expires_at);

CREATE TABLE consents (
	realm        TEXT   NOT NULL,
	hash         BYTEA  NOT NULL, -- of the next three, which are long for an index
	user_id      TEXT   NOT NULL,
	client_id    TEXT   NOT NULL,
	redirect_uri TEXT   NOT NULL,
	scopes       TEXT   NOT NULL,
	given_at     BIGINT NOT NULL,
	PRIMARY KEY (realm, hash)
);

CREATE TABLE codes (
	realm          TEXT   NOT NULL,
	hash           BYTEA  NOT NULL,
	family_id      TEXT   NOT NULL,
	client_id      TEXT   NOT NULL,
	user_id        TEXT   NOT NULL,
	redirect_uri   TEXT   NOT NULL,
	code_challenge TEXT   NOT NULL,
	resource       TEXT   NOT NULL,
	scopes         TEXT   NOT NULL,
	expires_at     BIGINT NOT NULL,
	used           BIGINT NOT NULL,
	PRIMARY KEY (realm, hash)
);
CREATE INDEX codes_expires_at ON codes (expires_at);

CREATE TABLE families (
	realm         TEXT   NOT NULL,
	id            TEXT   NOT NULL,
	user_id       TEXT   NOT NULL,
	client_id     TEXT   NOT NULL,
	resource      TEXT   NOT NULL,
	scopes        TEXT   NOT NULL,
	created_at    BIGINT NOT NULL,
	expires_at    BIGINT NOT NULL,
	revoked_at    BIGINT NOT NULL,
	generation    BIGINT NOT NULL,
	current_hash  BYTEA,
	previous_hash BYTEA,
	successor     BYTEA, -- sealed
	rotated_at    BIGINT NOT NULL,
	sweep_at      BIGINT NOT NULL, -- when the row may be removed
	PRIMARY KEY (realm, id)
);
CREATE INDEX families_client ON families (realm, client_id);
CREATE INDEX families_sweep_at ON families (sweep_at);

CREATE TABLE signing_keys (
	realm      TEXT   NOT NULL,
	ordinal    BIGINT NOT NULL, -- 1 for the first
	id         TEXT   NOT NULL,
	private    BYTEA  NOT NULL, -- sealed
	created_at BIGINT NOT NULL,
	PRIMARY KEY (realm, ordinal),
	UNIQUE (realm, id)
);

CREATE TABLE grants (
	realm      TEXT   NOT NULL,
	user_id    TEXT   NOT NULL,
	provider   TEXT   NOT NULL,
	label      TEXT   NOT NULL,
	version    BIGINT NOT NULL,
	sealed     BYTEA, -- NULL once deleted
	deleted_at BIGINT NOT NULL,
	PRIMARY KEY (realm, user_id, provider, label)
);
CREATE INDEX grants_deleted_at ON grants (deleted_at);

CREATE TABLE taken_ids (
	realm     TEXT   NOT NULL,
	hash      BYTEA  NOT NULL,
	forget_at BIGINT NOT NULL,
	PRIMARY KEY (realm, hash)
);
CREATE INDEX taken_ids_forget_at ON taken_ids (forget_at);

CREATE TABLE ended_sessions (
	realm     TEXT   NOT NULL,
	hash      BYTEA  NOT NULL,
	forget_at BIGINT NOT NULL,
	PRIMARY KEY (realm, hash)
);
CREATE INDEX ended_sessions_forget_at ON ended_sessions (forget_at);
