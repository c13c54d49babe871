//! Keys of encryption, authentication and tokens.
//! See [`super`].

use super::*;

pub(super) const KEYS: &[ConfigKey<BrokerConfig>] = inert! {
    "connection.failed.authentication.delay.ms", Int(0, I32_MAX) => Some("100"),
        "How long a connection is kept before it is closed for a failed authentication.";
    "connections.max.reauth.ms", Long(i64::MIN, i64::MAX) => Some("0"),
        "How long an authentication is good for; 0 for ever.";
    "delegation.token.expiry.check.interval.ms", Long(1, i64::MAX) => Some("3600000"),
        "How often outdated delegation tokens are looked for.";
    "delegation.token.expiry.time.ms", Long(1, i64::MAX) => Some("86400000"),
        "How long a delegation token is good for unless it is renewed.";
    "delegation.token.max.lifetime.ms", Long(1, i64::MAX) => Some("604800000"),
        "The longest life of a delegation token.";
    "delegation.token.secret.key", Password => None,
        "The secret with which delegation tokens are signed.";
    "early.start.listeners", List(&[]) => None,
        "Listeners that serve before the authorizer is ready.";
    "principal.builder.class", Class => Some("org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder"),
        "The class that tells who a client is.";
    "sasl.client.callback.handler.class", Class => None,
        "The class that answers questions of SASL clients.";
    "sasl.enabled.mechanisms", List(&[]) => Some("GSSAPI"),
        "The SASL mechanisms that are served.";
    "sasl.jaas.config", Password => None,
        "The JAAS entry of a login.";
    "sasl.kerberos.kinit.cmd", Text => Some("/usr/bin/kinit"),
        "The command that gets a Kerberos ticket.";
    "sasl.kerberos.min.time.before.relogin", Long(i64::MIN, i64::MAX) => Some("60000"),
        "The pause between two Kerberos logins, in milliseconds.";
    "sasl.kerberos.principal.to.local.rules", List(&[]) => Some("DEFAULT"),
        "How Kerberos principals become user names.";
    "sasl.kerberos.service.name", Text => None,
        "The Kerberos name of the brokers.";
    "sasl.kerberos.ticket.renew.jitter", Double(f64::MIN, f64::MAX) => Some("0.05"),
        "The part of a Kerberos renewal time that is random.";
    "sasl.kerberos.ticket.renew.window.factor", Double(f64::MIN, f64::MAX) => Some("0.8"),
        "The part of a Kerberos ticket's life after which it is renewed.";
    "sasl.login.callback.handler.class", Class => None,
        "The class that answers questions of a login.";
    "sasl.login.class", Class => None,
        "The class that logs in.";
    "sasl.login.connect.timeout.ms", Int(I32_MIN, I32_MAX) => None,
        "How long a connection to an identity provider may take.";
    "sasl.login.read.timeout.ms", Int(I32_MIN, I32_MAX) => None,
        "How long an answer of an identity provider may take.";
    "sasl.login.refresh.buffer.seconds", Short(-32_768, 32_767) => Some("300"),
        "How long before its end a credential is renewed at the latest.";
    "sasl.login.refresh.min.period.seconds", Short(-32_768, 32_767) => Some("60"),
        "How long a credential is kept before it is renewed.";
    "sasl.login.refresh.window.factor", Double(f64::MIN, f64::MAX) => Some("0.8"),
        "The part of a credential's life after which it is renewed.";
    "sasl.login.refresh.window.jitter", Double(f64::MIN, f64::MAX) => Some("0.05"),
        "The part of that time that is random.";
    "sasl.login.retry.backoff.max.ms", Long(i64::MIN, i64::MAX) => Some("10000"),
        "The longest pause between two tries to reach an identity provider.";
    "sasl.login.retry.backoff.ms", Long(i64::MIN, i64::MAX) => Some("100"),
        "The first pause between two such tries.";
    "sasl.mechanism.controller.protocol", Text => Some("GSSAPI"),
        "The SASL mechanism towards controllers.";
    "sasl.mechanism.inter.broker.protocol", Text => Some("GSSAPI"),
        "The SASL mechanism between brokers.";
    "sasl.oauthbearer.allow.unverified.audience", Kind::Boolean => Some("false"),
        "Whether a token may go unchecked for whom it was made.";
    "sasl.oauthbearer.allow.unverified.issuer", Kind::Boolean => Some("false"),
        "Whether a token may go unchecked who made it.";
    "sasl.oauthbearer.assertion.algorithm", AnyCase(&["ES256", "RS256"]) => Some("RS256"),
        "The algorithm that signs an OAuth assertion.";
    "sasl.oauthbearer.assertion.claim.aud", Text => None,
        "For whom an OAuth assertion is.";
    "sasl.oauthbearer.assertion.claim.exp.seconds", Int(0, 86_400) => Some("300"),
        "How long an OAuth assertion is good for.";
    "sasl.oauthbearer.assertion.claim.iss", Text => None,
        "Who makes an OAuth assertion.";
    "sasl.oauthbearer.assertion.claim.jti.include", Kind::Boolean => Some("false"),
        "Whether an OAuth assertion carries an id of its own.";
    "sasl.oauthbearer.assertion.claim.nbf.seconds", Int(0, 3600) => Some("60"),
        "How far back an OAuth assertion is good already.";
    "sasl.oauthbearer.assertion.claim.sub", Text => None,
        "Whom an OAuth assertion is about.";
    "sasl.oauthbearer.assertion.file", Text => None,
        "A file with an OAuth assertion.";
    "sasl.oauthbearer.assertion.private.key.file", Text => None,
        "A file with the key that signs OAuth assertions.";
    "sasl.oauthbearer.assertion.private.key.passphrase", Password => None,
        "The passphrase of that key.";
    "sasl.oauthbearer.assertion.template.file", Text => None,
        "A file with what an OAuth assertion says besides.";
    "sasl.oauthbearer.client.credentials.client.id", Text => None,
        "The client id for OAuth's client credentials.";
    "sasl.oauthbearer.client.credentials.client.secret", Password => None,
        "The secret that goes with it.";
    "sasl.oauthbearer.clock.skew.seconds", Int(I32_MIN, I32_MAX) => Some("30"),
        "How far the clock of an OAuth provider may differ.";
    "sasl.oauthbearer.expected.audience", List(&[]) => Some(""),
        "For whom a token has to be.";
    "sasl.oauthbearer.expected.issuer", Text => None,
        "Who has to have made a token.";
    "sasl.oauthbearer.jwks.endpoint.refresh.ms", Long(i64::MIN, i64::MAX) => Some("3600000"),
        "How often the keys of an OAuth provider are fetched.";
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", Long(i64::MIN, i64::MAX) => Some("10000"),
        "The longest pause between two tries to fetch them.";
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", Long(i64::MIN, i64::MAX) => Some("100"),
        "The first pause between two such tries.";
    "sasl.oauthbearer.jwks.endpoint.url", Text => None,
        "Where the keys of an OAuth provider are.";
    "sasl.oauthbearer.jwt.retriever.class", Class => Some("org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever"),
        "The class that gets OAuth tokens.";
    "sasl.oauthbearer.jwt.validator.class", Class => Some("org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator"),
        "The class that checks OAuth tokens.";
    "sasl.oauthbearer.scope", Text => None,
        "The scope that OAuth tokens are asked for.";
    "sasl.oauthbearer.scope.claim.name", Text => Some("scope"),
        "The claim of a token that names its scope.";
    "sasl.oauthbearer.sub.claim.name", Text => Some("sub"),
        "The claim of a token that names whom it is about.";
    "sasl.oauthbearer.token.endpoint.url", Text => None,
        "Where OAuth tokens are had.";
    "sasl.server.callback.handler.class", Class => None,
        "The class that answers questions of SASL servers.";
    "sasl.server.max.receive.size", Int(I32_MIN, I32_MAX) => Some("524288"),
        "The longest message of a client that is not authenticated yet.";
    "security.inter.broker.protocol", Choice(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]) => Some("PLAINTEXT"),
        "The protocol between brokers.";
    "security.providers", Text => None,
        "Classes that bring security algorithms along.";
    "ssl.allow.dn.changes", Kind::Boolean => Some("false"),
        "Whether a new certificate may have another name.";
    "ssl.allow.san.changes", Kind::Boolean => Some("false"),
        "Whether a new certificate may lack alternative names of the old one.";
    "ssl.cipher.suites", List(&[]) => Some(""),
        "The cipher suites that are allowed; empty for all.";
    "ssl.client.auth", Choice(&["required", "requested", "none"]) => Some("none"),
        "Whether clients have to show a certificate.";
    "ssl.enabled.protocols", List(&[]) => Some("TLSv1.2,TLSv1.3"),
        "The versions of TLS that are allowed.";
    "ssl.endpoint.identification.algorithm", Text => Some("https"),
        "How a server's name is compared with its certificate.";
    "ssl.engine.factory.class", Class => None,
        "The class that makes TLS engines.";
    "ssl.key.password", Password => None,
        "The password of the private key.";
    "ssl.keymanager.algorithm", Text => Some("SunX509"),
        "The algorithm of the key manager.";
    "ssl.keystore.certificate.chain", Password => None,
        "The certificates, as PEM text.";
    "ssl.keystore.key", Password => None,
        "The private key, as PEM text.";
    "ssl.keystore.location", Text => None,
        "The file with key and certificates.";
    "ssl.keystore.password", Password => None,
        "The password of that file.";
    "ssl.keystore.type", Text => Some("JKS"),
        "The format of that file.";
    "ssl.principal.mapping.rules", Text => Some("DEFAULT"),
        "How names in certificates become user names.";
    "ssl.protocol", Text => Some("TLSv1.3"),
        "The version of TLS that is preferred.";
    "ssl.provider", Text => None,
        "The provider of TLS.";
    "ssl.secure.random.implementation", Text => None,
        "The generator of random numbers for TLS.";
    "ssl.trustmanager.algorithm", Text => Some("PKIX"),
        "The algorithm of the trust manager.";
    "ssl.truststore.certificates", Password => None,
        "The certificates that are trusted, as PEM text.";
    "ssl.truststore.location", Text => None,
        "The file with certificates that are trusted.";
    "ssl.truststore.password", Password => None,
        "The password of that file.";
    "ssl.truststore.type", Text => Some("JKS"),
        "The format of that file.";
};
