import './reflect-metadata.ts';
import { createPrivateKey, webcrypto } from 'node:crypto';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  cryptoProvider,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
  X509CrlGenerator,
} from '@peculiar/x509';
import type { WrongCertificate } from './faults.ts';

/** P-256: a key takes a millisecond where an RSA key takes a quarter of a second. */
const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const day = 24 * 3600 * 1000;
const serverAuthentication = '1.3.6.1.5.5.7.3.1';
const clientAuthentication = '1.3.6.1.5.5.7.3.2';

/** A certificate with its private key, both PEM. */
export interface KeyedCertificate {
  cert: string;
  key: string;
}

export interface Subject {
  /** The common name. */
  name: string;
  /** Names of the server: DNS names, with `*.` for a wildcard, or addresses. */
  hosts?: string[];
  /** What the certificate is for; default `server`. */
  use?: 'server' | 'client';
  /** A validity that ended yesterday, or that begins tomorrow; default: one that includes now. */
  validity?: 'expired' | 'notYetValid';
}

export interface Authority {
  /** The authority's own certificate, PEM. */
  pem: string;
  /** Signs a certificate for a new key. */
  issue(subject: Subject): Promise<KeyedCertificate>;
  /** A revocation list (PEM, as OpenSSL reads it) with these certificates. */
  revoke(...certificates: KeyedCertificate[]): Promise<string>;
}

cryptoProvider.set(webcrypto);

/** Makes a certificate authority with a new key, of use for nothing but the tests of one run. */
export async function createAuthority(name: string): Promise<Authority> {
  const keys = await newKeys();
  const root = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: `CN=${name}`,
    notBefore: new Date(Date.now() - day),
    notAfter: new Date(Date.now() + 30 * day),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return {
    pem: pemOf(root),
    async issue(subject) {
      const own = await newKeys();
      const certificate = await X509CertificateGenerator.create({
        ...validity(subject),
        serialNumber: serialNumber(),
        subject: `CN=${subject.name}`,
        issuer: root.subject,
        publicKey: own.publicKey,
        signingKey: keys.privateKey,
        signingAlgorithm: algorithm,
        extensions: [
          ...(await leafExtensions(subject, own.publicKey)),
          await AuthorityKeyIdentifierExtension.create(keys.publicKey),
        ],
      });
      return { cert: pemOf(certificate), key: await privatePem(own.privateKey) };
    },
    async revoke(...certificates) {
      const list = await X509CrlGenerator.create({
        issuer: root.subject,
        thisUpdate: new Date(Date.now() - day),
        nextUpdate: new Date(Date.now() + day),
        entries: certificates.map(({ cert }) => ({ serialNumber: new X509Certificate(cert).serialNumber })),
        signingAlgorithm: algorithm,
        signingKey: keys.privateKey,
      });
      return `${list.toString('pem').replaceAll(' CRL-----', ' X509 CRL-----')}\n`;
    },
  };
}

/** Makes a certificate that nobody but itself vouches for. */
export async function selfSigned(subject: Subject): Promise<KeyedCertificate> {
  const keys = await newKeys();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    ...validity(subject),
    serialNumber: serialNumber(),
    name: `CN=${subject.name}`,
    signingAlgorithm: algorithm,
    keys,
    extensions: await leafExtensions(subject, keys.publicKey),
  });
  return { cert: pemOf(certificate), key: await privatePem(keys.privateKey) };
}

/** The certificate that a server presents in a fault: one that a client must refuse. */
export async function wrongCertificate(
  which: WrongCertificate,
  authority: Authority,
  subject: Subject,
): Promise<KeyedCertificate> {
  switch (which) {
    case 'selfSigned':
      return selfSigned(subject);
    case 'otherAuthority':
      return (await createAuthority('Another authority')).issue(subject);
    case 'otherName':
      return authority.issue({ name: 'elsewhere', hosts: ['elsewhere.example'] });
    default:
      return authority.issue({ ...subject, validity: which });
  }
}

/** The private key (PEM) encrypted with a passphrase, as an agent's client certificate has it. */
export function encryptKey(key: string, passphrase: string): string {
  const pem = createPrivateKey(key).export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase });
  return pem.toString();
}

function validity(subject: Subject): { notBefore: Date; notAfter: Date } {
  const startsIn = { expired: -11 * day, now: -3 * day, notYetValid: day }[subject.validity ?? 'now'];
  const notBefore = Date.now() + startsIn;
  return { notBefore: new Date(notBefore), notAfter: new Date(notBefore + 10 * day) };
}

async function leafExtensions(subject: Subject, publicKey: webcrypto.CryptoKey) {
  const use = subject.use === 'client' ? clientAuthentication : serverAuthentication;
  const names = (subject.hosts ?? []).map((host) => ({ type: isAddress(host) ? 'ip' : 'dns', value: host }) as const);
  return [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension([use]),
    await SubjectKeyIdentifierExtension.create(publicKey),
    ...(names.length > 0 ? [new SubjectAlternativeNameExtension(names)] : []),
  ];
}

const isAddress = (host: string): boolean => /^[\d.]+$/.test(host) || host.includes(':');

async function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
}

async function privatePem(key: webcrypto.CryptoKey): Promise<string> {
  const der = await webcrypto.subtle.exportKey('pkcs8', key);
  const pem = createPrivateKey({ key: Buffer.from(der), format: 'der', type: 'pkcs8' });
  return pem.export({ type: 'pkcs8', format: 'pem' }).toString();
}

const pemOf = (certificate: X509Certificate): string => `${certificate.toString('pem')}\n`;

/** Sixteen random bytes, positive: two authorities of one name must not give out one serial number twice. */
function serialNumber(): string {
  const bytes = Buffer.from(webcrypto.getRandomValues(new Uint8Array(16)));
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes.toString('hex');
}
