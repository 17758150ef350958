/** What belongs here: the bound of every loop, list, string, recursion and body that a stranger controls. Sizes in bytes. */

export const KiB = 1024
export const MiB = 1024 * KiB

/** JSON documents of ours: statements, manifests, receipts. */
export const jsonSizeMax = 4 * MiB
export const jsonDepthMax = 32
export const jsonItemsMax = 200_000
/** A CBOR value: its bytes, how deep its parts stand in one another, and how many there are. */
export const cborSizeMax = 1024 * KiB
export const cborDepthMax = 16
export const cborItemsMax = 20_000
/** A name, id, alias or code. */
export const nameLengthMax = 200
/**
 * A policy text, its policies, and in one policy the nested brackets and the operators. Cedar's parser overflows its
 * stack at about 150 brackets or 2,000 chained operators, and does not recover.
 */
export const policySizeMax = 64 * KiB
export const policyCountMax = 100
export const policyDepthMax = 32
export const policyOperatorsMax = 400
/** Policy texts that a process keeps read, in characters together, and again as Cedar holds them. */
export const policiesHeldMax = 8 * MiB
/** An annotation of a policy, in characters. */
export const annotationLengthMax = 1000
/** A certificate, PEM or DER, and how many in a chain. */
export const certificateSizeMax = 64 * KiB
export const chainLengthMax = 8
/** A CRL. */
export const crlSizeMax = 8 * MiB
/** One log entry: C2SP tlog-tiles stores a u16 length before it. */
export const entrySizeMax = 65_535
/** A sealed request body and the answer to it. */
export const requestSizeMax = 32 * MiB
export const responseSizeMax = 64 * MiB
/** A sealed model. */
export const filesPerModelMax = 10_000
export const pathLengthMax = 512
/** A sealed model's manifest: 64 characters a MiB of model, so models of some 90 GiB. */
export const manifestSizeMax = 6 * MiB
/** Clock difference that is forgiven between two honest parties, in seconds. */
export const clockSkewSeconds = 60
/** A signed note and its signatures (C2SP signed-note asks for at least 16), in characters. */
export const noteSizeMax = 256 * KiB
export const noteSignaturesMax = 64
/** Hashes of a Merkle proof: the levels of a tree of 2^63 leaves. */
export const proofHashesMax = 63
/** Logs, witnesses and groups of a log policy, each (C2SP tlog-policy asks for at least 32). */
export const policyNamesMax = 128
/** Fields of a binary HTTP message: how many, and their bytes, in headers and in trailers each. */
export const binaryFieldsMax = 64
export const binaryFieldsSizeMax = 128 * KiB
/** One sealed chunk of a stream with its tag, as accepted and as sent, and how many of them a stream may have. */
export const chunkSizeMax = MiB + 16
export const chunkSizeSent = 64 * KiB
export const chunksMax = 65_536
/** Encapsulated keys that a node remembers against replay; when the memory is full it refuses. */
export const replayWindowMax = 262_144
/** From a broker's beat to the time when it no longer counts, in seconds. */
export const beatSecondsMax = 60
/** How long a challenge waits for its answer, in seconds, and how many wait at the same time. */
export const challengeSeconds = 120
export const challengesMax = 100_000
/** Of those, what one lease that runs may have for its renewals, in a pot that nobody else draws from. */
export const challengesPerLeaseMax = 8
/** Chains of statements (one a kind and model) that one owner keeps at a broker. */
export const statementChainsMax = 5000
/** Versions that ever went to one machine. */
export const releasedMax = 50_000
/** Proposals of one owner that wait for approvals. */
export const proposalsMax = 100
/** How long the glass stays broken at most, how often in thirty days, and how long it stays whole in between; seconds. */
export const breakGlassSecondsMax = 4 * 3600
export const breakGlassPerMonthMax = 3
export const breakGlassPauseSeconds = 86_400
/** How long a proposal may wait for approvals, in seconds. */
export const approvalExpirySecondsMax = 90 * 86_400
/** An XML document, how deep it nests, its elements, the attributes of one, and the namespaces in scope of one. */
export const xmlSizeMax = 256 * KiB
export const xmlDepthMax = 16
export const xmlElementsMax = 4096
export const xmlAttributesMax = 128
export const xmlNamespacesMax = 32
/** An OCSP answer with the certificate of its responder. */
export const ocspSizeMax = 16 * KiB

/** What an owner's access list holds at most, and the requests that its identities may make together. */
export const accessIdentitiesMax = 500
export const accessAuthoritiesMax = 8
export const accessClaimsMax = 8
export const accessRequestsPerMinuteMax = 6000
/** A bearer token that somebody else issued. */
export const bearerTokenSizeMax = 8 * KiB
/** An SD-JWT with its disclosures and key binding, and how many disclosures it may have. */
export const sdJwtSizeMax = 64 * KiB
export const disclosuresMax = 200
/** Credentials that a host presents with one request; how old, in seconds, a key binding and a status list may be. */
export const credentialsPresentedMax = 16
export const presentationSecondsMax = 600
export const statusSecondsMax = 90 * 86_400
/** A status list as a token, and as bits: eight million credentials of one bit each. */
export const statusListTokenMax = 1024 * KiB
export const statusListSizeMax = 1024 * KiB
/** A ticket for landmarks: how long it holds in seconds, how many landmarks it names, and its bytes. */
export const ticketSecondsMax = 300
export const ticketLandmarksMax = 8
export const ticketSizeMax = 900
/** Groups of the registry that round trips are tried against, one by one, for one node. */
export const timedGroupsMax = 16
/** Platforms of which an owner cleared contradictions, in one statement. */
export const clearedMax = 256
/** Probes of one session at a landmark, of those answered the fewest that make a receipt, and a landmark's receipt in bytes. */
export const probesMax = 100
export const probesAnsweredMin = 5
export const landmarkReceiptSizeMax = 1100
/** Sessions that a landmark measures at the same time, and tickets that it remembers against replay. */
export const landmarkSessionsMax = 64
export const landmarkTicketsMax = 100_000
