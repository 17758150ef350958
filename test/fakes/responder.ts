import type { CollateralItem } from '#attest/endorsements/item.js'
import type { OcspName } from '#attest/endorsements/names.js'
import type { Architecture } from '#attest/gpu/layout.js'
import { fromBase64, toHex } from '#core/bytes/bytes.js'
import { derOid, derTag, derUnsigned, parseDer } from '#core/encoding/der.js'
import { parseCertificate } from '#core/x509/certificate.js'
import { certificateId } from '#core/x509/ocsp-answer.js'
import { ocspSubject } from '#core/x509/ocsp-request.js'
import { deviceSubjects, mintGpuEvidence, single } from './gpu.js'
import { mintRimChain, rimSubjects } from './gpu-rim.js'
import { mintOcsp, type OcspChange, type OcspSubject, subjectId } from './ocsp.js'
import { type Answer, gives, type VendorServer } from './vendors.js'

/** A server that answers as NVIDIA's OCSP responder does, on this machine. */
export interface Responder {
  /** how often each certificate was asked for, by its role */
  readonly asked: Map<string, number>
  /** what is answered on a certificate from now on; without it the answer is good */
  says(role: string, what: OcspChange | Answer): Promise<void>
  /** what is answered on every certificate from now on */
  saysOfAll(what: OcspChange | Answer): Promise<void>
}

/** What a request asks for: exactly one certificate, by SHA-384, without extensions. */
export function requestedId(request: Uint8Array): string {
  const outer = parseDer(request, derTag.sequence, 'request').reader()
  const tbs = outer.next(derTag.sequence, 'to be signed').reader()
  outer.end('request')
  const list = tbs.next(derTag.sequence, 'list').reader()
  tbs.end('to be signed')
  const one = list.next(derTag.sequence, 'single request').reader()
  list.end('list')
  const id = one.next(derTag.sequence, 'id').reader()
  one.end('single request')
  const hash = id.next(derTag.sequence, 'hash').reader()
  if (derOid(hash.next(derTag.oid, 'hash'), 'hash') !== '2.16.840.1.101.3.4.2.2')
    throw new Error('asked by another hash')
  hash.next(derTag.null, 'parameters')
  hash.end('hash')
  const name = id.next(derTag.octetString, 'name').body
  const key = id.next(derTag.octetString, 'key').body
  const serial = derUnsigned(id.next(derTag.integer, 'serial'), 'serial')
  id.end('id')
  return `${toHex(name)}${toHex(key)}${toHex(serial)}`
}

/** Certificates of these devices and of the signers of their RIMs, by role; a second device has a number behind it. */
export function subjectsOf(architecture: Architecture = 'HOPPER', numbers: readonly number[] = [0]) {
  const devices = numbers.flatMap((number) =>
    Object.entries(deviceSubjects(architecture, number)).map(([role, one]) => [`${role}${number || ''}`, one] as const),
  )
  return new Map<string, OcspSubject>([...devices, ...Object.entries(rimSubjects)])
}

const typed = (body: Uint8Array) => gives(body, { 'content-type': 'application/ocsp-response' })

/** The server answers by POST at its root, on these certificates. What it is asked for otherwise is refused with 400. */
export async function serveOcsp(server: VendorServer, subjects = subjectsOf(), path = '/'): Promise<Responder> {
  const asked = new Map<string, number>()
  const answers = new Map<string, { readonly role: string; answer: Answer }>()
  const says = async (role: string, what: OcspChange | Answer) => {
    const subject = subjects.get(role)!
    const answer = typeof what === 'function' ? what : typed(await mintOcsp(subject, what))
    answers.set(subjectId(subject), { role, answer })
  }
  const saysOfAll = async (what: OcspChange | Answer) => {
    for (const role of subjects.keys()) await says(role, what)
  }
  await saysOfAll({})
  server.answers.set(path, (request, response) => {
    const isAsked = request.method === 'POST' && request.headers['content-type'] === 'application/ocsp-request'
    const found = isAsked ? answers.get(requestedId(server.bodies.get(path)!)) : undefined
    if (!found) return void response.writeHead(400).end('malformed')
    asked.set(found.role, (asked.get(found.role) ?? 0) + 1)
    found.answer(request, response)
  })
  return { asked, says, saysOfAll }
}

/** A document of an answer, with the certificates above the one that it is about. */
export async function answerDocument(role = 'ocspDeviceL4', change: OcspChange = {}): Promise<CollateralItem> {
  const evidence = await mintGpuEvidence(single())
  const device = evidence.devices[0]!.chain.map((text) => fromBase64(text))
  const chains: Readonly<Record<string, readonly Uint8Array[]>> = {
    ocspDeviceL2: device.slice(3),
    ocspDeviceL3: device.slice(2),
    ocspDeviceL4: device.slice(1),
    ocspRimL2: (await mintRimChain()).slice(2),
    ocspRimL3: (await mintRimChain()).slice(1),
    ocspRimL4: await mintRimChain(),
  }
  const [own, ...above] = chains[role]!
  const read = (der: Uint8Array) => parseCertificate(der, 'certificate', { times: 'any' })
  const name: OcspName = { kind: 'nvidia-ocsp', ...ocspSubject(certificateId(read(own!), read(above[0]!))) }
  return { name, body: await mintOcsp(subjectsOf().get(role)!, change), chain: above }
}
