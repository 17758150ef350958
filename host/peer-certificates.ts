import { type DetailedPeerCertificate, TLSSocket } from 'node:tls'

const certificatesMax = 8

/**
 * The certificates of a TLS connection's client, leaf first, DER; none without TLS. The handshake showed that the client holds
 * the leaf's key, and nothing else: no chain was verified.
 */
export function peerCertificates(socket: unknown): readonly Uint8Array[] {
  if (!(socket instanceof TLSSocket)) return []
  const out: Uint8Array[] = []
  let one: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true)
  // Of no certificate node makes an empty object, of one that issued itself a circle.
  while (one?.raw !== undefined && out.length < certificatesMax) {
    out.push(new Uint8Array(one.raw))
    if (one.issuerCertificate === one) break
    one = one.issuerCertificate
  }
  return out
}
