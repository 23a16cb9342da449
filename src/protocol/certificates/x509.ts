import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  verify,
  X509Certificate,
} from 'node:crypto';
import { isIP } from 'node:net';
import { CertificationRequest, CertificationRequestInfo } from '@peculiar/asn1-csr';
import { AsnConvert, OctetString } from '@peculiar/asn1-schema';
import {
  AlgorithmIdentifier,
  AttributeTypeAndValue,
  AttributeValue,
  AuthorityKeyIdentifier,
  BasicConstraints,
  Certificate,
  ExtendedKeyUsage,
  Extension,
  Extensions,
  GeneralName,
  id_ce_authorityKeyIdentifier,
  id_ce_basicConstraints,
  id_ce_extKeyUsage,
  id_ce_keyUsage,
  id_ce_subjectAltName,
  id_ce_subjectKeyIdentifier,
  id_kp_clientAuth,
  id_kp_serverAuth,
  KeyIdentifier,
  KeyUsage,
  KeyUsageFlags,
  Name,
  RelativeDistinguishedName,
  SubjectAlternativeName,
  SubjectKeyIdentifier,
  SubjectPublicKeyInfo,
  TBSCertificate,
  Validity,
  Version,
} from '@peculiar/asn1-x509';
import { invalidField, ViworksError } from '../../errors.ts';

/** X.509 certificates (RFC 5280) and requests for them (PKCS#10, RFC 2986): what is made of them, and read. */

/** A key of TLS: ECDSA on P-256. */
export const newTlsKey = (): KeyObject => generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey;

export const privateKeyPem = (key: KeyObject): string =>
  key.export({ type: 'pkcs8', format: 'pem' }).toString();

/** SubjectPublicKeyInfo in DER, of a private key too. */
export function spkiOf(key: KeyObject): Buffer {
  const half = key.type === 'private' ? createPublicKey(key) : key;
  return half.export({ type: 'spki', format: 'der' });
}

/** A PEM file of certificates, as DER, in its order. */
export function certificatesIn(pem: string): Uint8Array[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block) => new Uint8Array(new X509Certificate(block).raw));
}

export const certificatePem = (der: Uint8Array): string => new X509Certificate(der).toString();

/** PEM of some certificates, one after the other. */
export const chainPem = (certificates: readonly Uint8Array[]): string =>
  certificates.map((der) => certificatePem(der)).join('');

/** What a certificate is called: the first 16 bytes of its SHA-256, lower-case hex. */
export const certificateIdOf = (der: Uint8Array): string =>
  createHash('sha256').update(der).digest('hex').slice(0, 32);

/** A request for a certificate of that key. What it says of names counts for nothing; the issuer chooses them. */
export function writeRequest(key: KeyObject): Uint8Array {
  const info = new CertificationRequestInfo({
    subject: nameOf('viworks'),
    subjectPKInfo: AsnConvert.parse(spkiOf(key), SubjectPublicKeyInfo),
  });
  const bytes = AsnConvert.serialize(info);
  const { algorithm, hash } = signatureOf(key);
  const request = new CertificationRequest({
    certificationRequestInfo: info,
    signatureAlgorithm: algorithm,
    signature: exactly(sign(hash, Buffer.from(bytes), key)),
  });
  return new Uint8Array(AsnConvert.serialize(request));
}

const ecdsaWithSha256 = '1.2.840.10045.4.3.2';
/** Bytes of a request: a key of P-256 and little else. */
const largestRequest = 4096;

/**
 * The public key of a request whose sender holds the private half.
 * @param field how its sender calls it
 * @throws invalid_request
 */
export function readRequest(der: Uint8Array, field: string): KeyObject {
  const unreadable = (cause?: unknown) =>
    new ViworksError('invalid_request', `${field}: is no PKCS#10 request in DER`, {
      fields: [{ field, problem: 'is no PKCS#10 request in DER' }],
      cause,
    });
  if (der.byteLength > largestRequest) throw unreadable();
  let key: KeyObject;
  let holds: boolean;
  try {
    const request = AsnConvert.parse(der, CertificationRequest);
    const { certificationRequestInfo: info, certificationRequestInfoRaw: raw } = request;
    if (raw === undefined || request.signatureAlgorithm.algorithm !== ecdsaWithSha256) throw unreadable();
    const spki = Buffer.from(AsnConvert.serialize(info.subjectPKInfo));
    key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
    holds = verify('sha256', Buffer.from(raw), key, Buffer.from(request.signature));
  } catch (cause) {
    throw unreadable(cause);
  }
  if (key.asymmetricKeyType !== 'ec' || key.asymmetricKeyDetails?.namedCurve !== 'prime256v1')
    throw invalidField(field, 'must be for an ECDSA key on P-256');
  if (!holds) throw invalidField(field, 'is not signed with its own key');
  return key;
}

export interface Issuer {
  certificate: X509Certificate;
  key: KeyObject;
}

export interface CertificateTerms {
  /** The common name of its subject; decides nothing. */
  subject: string;
  publicKey: KeyObject;
  /** Milliseconds since 1970. */
  notBefore: number;
  notAfter: number;
}

export interface LeafTerms extends CertificateTerms {
  /** client: an agent, named by a URI. server: named by host names and addresses. */
  use: 'client' | 'server';
  /** URIs of a client; host names and IP addresses of a server. */
  names: readonly string[];
}

/** A certificate authority that vouches for itself. */
export function makeAuthority(terms: Omit<CertificateTerms, 'publicKey'>, key: KeyObject): Uint8Array {
  const subject = nameOf(terms.subject);
  const ski = keyIdentifierOf(key);
  return signed(
    { ...terms, publicKey: createPublicKey(key) },
    subject,
    subject,
    [
      extension(id_ce_basicConstraints, new BasicConstraints({ cA: true, pathLenConstraint: 0 }), true),
      extension(id_ce_keyUsage, new KeyUsage(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign), true),
      extension(id_ce_subjectKeyIdentifier, new SubjectKeyIdentifier(ski)),
    ],
    key,
  );
}

/** A certificate for an agent or a server. */
export function issueCertificate(terms: LeafTerms, issuer: Issuer): Uint8Array {
  const authority = AsnConvert.parse(issuer.certificate.raw, Certificate).tbsCertificate;
  const purpose = terms.use === 'client' ? id_kp_clientAuth : id_kp_serverAuth;
  const names = terms.names.map((name) => generalName(terms.use, name));
  return signed(
    terms,
    nameOf(terms.subject),
    authority.subject,
    [
      extension(id_ce_basicConstraints, new BasicConstraints(), true),
      extension(id_ce_keyUsage, new KeyUsage(KeyUsageFlags.digitalSignature), true),
      extension(id_ce_extKeyUsage, new ExtendedKeyUsage([purpose])),
      extension(id_ce_subjectAltName, new SubjectAlternativeName(names)),
      extension(
        id_ce_authorityKeyIdentifier,
        new AuthorityKeyIdentifier({
          keyIdentifier: new KeyIdentifier(
            subjectKeyIdOf(authority) ?? keyIdentifierOf(issuer.certificate.publicKey),
          ),
        }),
      ),
    ],
    issuer.key,
  );
}

/** The URIs in a certificate's SAN. */
export function urisOf(der: Uint8Array): string[] {
  const { extensions = [] } = AsnConvert.parse(der, Certificate).tbsCertificate;
  const found = [...extensions].find(({ extnID }) => extnID === id_ce_subjectAltName);
  if (found === undefined) return [];
  const names = AsnConvert.parse(found.extnValue.buffer, SubjectAlternativeName);
  return names.flatMap(({ uniformResourceIdentifier: uri }) => (uri === undefined ? [] : [uri]));
}

/** Whether a certificate may be shown by a client, by its extended key usage. */
export const isForClients = ({ keyUsage }: X509Certificate): boolean =>
  keyUsage?.includes(id_kp_clientAuth) === true;

/** Whether the issuer made it: its name and its signature. */
export function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

/** Between its times. */
export const isInTime = ({ validFromDate, validToDate }: X509Certificate, now: number): boolean =>
  validFromDate.getTime() <= now && now < validToDate.getTime();

/** @throws where it is no private key in PEM */
export const readPrivateKey = (pem: string): KeyObject => createPrivateKey(pem);

function signed(
  { publicKey, notBefore, notAfter }: CertificateTerms,
  subject: Name,
  issuer: Name,
  extensions: Extension[],
  key: KeyObject,
): Uint8Array {
  const { algorithm, hash } = signatureOf(key);
  const tbsCertificate = new TBSCertificate({
    version: Version.v3,
    serialNumber: exactly(newSerial()),
    signature: algorithm,
    issuer,
    validity: new Validity({ notBefore: wholeSecond(notBefore), notAfter: wholeSecond(notAfter) }),
    subject,
    subjectPublicKeyInfo: AsnConvert.parse(spkiOf(publicKey), SubjectPublicKeyInfo),
    extensions: new Extensions(extensions),
  });
  const bytes = Buffer.from(AsnConvert.serialize(tbsCertificate));
  const certificate = new Certificate({
    tbsCertificate,
    signatureAlgorithm: algorithm,
    signatureValue: exactly(sign(hash, bytes, key)),
  });
  return new Uint8Array(AsnConvert.serialize(certificate));
}

/** 128 bits with 126 of them random: positive, never zero, and never with a byte too many in front. */
function newSerial(): Buffer {
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  return serial;
}

const wholeSecond = (ms: number) => new Date(Math.floor(ms / 1000) * 1000);

/** How a key signs certificates. */
function signatureOf(key: KeyObject): { algorithm: AlgorithmIdentifier; hash: string | null } {
  switch (key.asymmetricKeyType) {
    case 'ec':
      return { algorithm: new AlgorithmIdentifier({ algorithm: ecdsaWithSha256 }), hash: 'sha256' };
    case 'rsa':
      return {
        algorithm: new AlgorithmIdentifier({ algorithm: '1.2.840.113549.1.1.11', parameters: null }),
        hash: 'sha256',
      };
    case 'ed25519':
      return { algorithm: new AlgorithmIdentifier({ algorithm: '1.3.101.112' }), hash: null };
    default:
      throw new ViworksError('config_invalid', 'The key of a certificate must be ECDSA, RSA or Ed25519.');
  }
}

function generalName(use: LeafTerms['use'], name: string): GeneralName {
  if (use === 'client') return new GeneralName({ uniformResourceIdentifier: name });
  return isIP(name) === 0 ? new GeneralName({ dNSName: name }) : new GeneralName({ iPAddress: name });
}

const commonName = '2.5.4.3';
/** RFC 5280, upper bound of a common name. */
const longestCommonName = 64;

const nameOf = (text: string): Name =>
  new Name([
    new RelativeDistinguishedName([
      new AttributeTypeAndValue({
        type: commonName,
        value: new AttributeValue({ utf8String: text.slice(0, longestCommonName) }),
      }),
    ]),
  ]);

const extension = (extnID: string, value: object, critical = false): Extension =>
  new Extension({ extnID, critical, extnValue: new OctetString(AsnConvert.serialize(value)) });

const keyIdentifierOf = (key: KeyObject): ArrayBuffer =>
  exactly(createHash('sha256').update(spkiOf(key)).digest().subarray(0, 20));

function subjectKeyIdOf({
  extensions = [],
}: TBSCertificate | { extensions?: Extension[] }): ArrayBuffer | undefined {
  const found = [...extensions].find(({ extnID }) => extnID === id_ce_subjectKeyIdentifier);
  return found === undefined
    ? undefined
    : AsnConvert.parse(found.extnValue.buffer, SubjectKeyIdentifier).buffer;
}

/** The bytes in a buffer that holds nothing else. */
const exactly = (bytes: Uint8Array): ArrayBuffer => new Uint8Array(bytes).buffer;
