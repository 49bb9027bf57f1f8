import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { Authenticator, type AuthScheme, chooseChallenge, parseChallenges } from "../../src/rtsp/auth.ts";

const RFC7616 =
  'realm="http-auth@example.org", qop="auth, auth-int", nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"';
const CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";

function choose(...fields: string[]): AuthScheme {
  const scheme = chooseChallenge(parseChallenges(fields));
  if (scheme === null) throw new Error("no challenge was chosen");
  return scheme;
}

function answer(password: string, cnonce: string, ...fields: string[]): Authenticator {
  const authenticator = new Authenticator({ username: "Mufasa", password }, () => cnonce);
  authenticator.accept(choose(...fields));
  return authenticator;
}

describe("published vectors", () => {
  it("RFC 2617 3.5", () => {
    const field =
      'Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"';
    const value = answer("Circle Of Life", "0a4f113b", field).authorization("GET", "/dir/index.html");
    expect(value).toContain('response="6629fae49393a05397450978507c4ef1"');
    expect(value).toContain('qop=auth, nc=00000001, cnonce="0a4f113b"');
    expect(value).toContain('opaque="5ccc069c403ebaf9f0171e9517f40e41"');
  });

  it("RFC 2069 as corrected: no qop", () => {
    const field = 'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"';
    const value = answer("CircleOfLife", "", field).authorization("GET", "/dir/index.html");
    expect(value).toContain('response="1949323746fe6a43ef61f9606e7febea"');
    expect(value).not.toContain("nc=");
    expect(value).not.toContain("algorithm");
  });

  it("RFC 7616 3.9.1: MD5 and SHA-256", () => {
    const md5 = answer("Circle of Life", CNONCE, `Digest ${RFC7616}, algorithm=MD5`).authorization("GET", "/dir/index.html");
    expect(md5).toContain('response="8ca523f5e9506fed4657c9700eebdbec"');
    const sha = answer("Circle of Life", CNONCE, `Digest ${RFC7616}, algorithm=SHA-256`).authorization("GET", "/dir/index.html");
    expect(sha).toContain('response="753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"');
    expect(sha).toContain("algorithm=SHA-256");
  });

  it("Basic, RFC 7617 2", () => {
    const authenticator = new Authenticator({ username: "Aladdin", password: "open sesame" });
    authenticator.accept(choose("Basic realm=x"));
    expect(authenticator.authorization("DESCRIBE", "rtsp://c/")).toBe("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
  });
});

describe("Authenticator", () => {
  const md5 = (text: string): string => createHash("md5").update(text).digest("hex");

  it("counts the uses of a nonce, and from one again with a new one", () => {
    const authenticator = answer("x", "c", `Digest ${RFC7616}`);
    const counts = () => /nc=(\w+)/.exec(authenticator.authorization("OPTIONS", "rtsp://c/") ?? "")?.[1];
    expect([counts(), counts(), counts()]).toEqual(["00000001", "00000002", "00000003"]);
    authenticator.accept(choose(`Digest ${RFC7616}`));
    expect(counts()).toBe("00000004");
    authenticator.accept(choose('Digest realm="r", qop=auth, nonce="new"'));
    expect(counts()).toBe("00000001");
  });

  it("keeps the key of -sess for the life of the nonce", () => {
    let turn = 0;
    const authenticator = new Authenticator({ username: "u", password: "p" }, () => `c${turn++}`);
    authenticator.accept(choose('Digest realm="r", nonce="n", algorithm=MD5-sess, qop="auth"'));
    const a1 = md5(`${md5("u:r:p")}:n:c0`);
    const a2 = md5("PLAY:rtsp://c/");
    for (const nc of ["00000001", "00000002"]) {
      const value = authenticator.authorization("PLAY", "rtsp://c/");
      expect(value).toContain(`response="${md5(`${a1}:n:${nc}:c0:auth:${a2}`)}"`);
      expect(value).toContain("algorithm=MD5-sess");
    }
  });

  it("signs the request URI exactly as sent, and escapes what it echoes", () => {
    const authenticator = new Authenticator({ username: 'a"b\\c', password: "p" }, () => "c");
    authenticator.accept(choose('Digest realm="say \\"hi\\", there", nonce="n"'));
    const url = "rtsp://c/cam/realmonitor?channel=1&subtype=0/trackID=0";
    const value = authenticator.authorization("SETUP", url);
    expect(value).toContain(`uri="${url}"`);
    expect(value).toContain('username="a\\"b\\\\c"');
    expect(value).toContain('realm="say \\"hi\\", there"');
    expect(value).toContain(`response="${md5(`${md5('a"b\\c:say "hi", there:p')}:n:${md5(`SETUP:${url}`)}`)}"`);
  });
});

describe("challenges", () => {
  it("reads several in one field, realms with blanks and commas, unquoted values", () => {
    const challenges = parseChallenges([
      'Basic realm="IP Camera, 1", Digest realm="IP Camera(C0 : 12)", nonce=abc , stale = TRUE,algorithm=MD5',
    ]);
    expect(challenges.map(({ scheme }) => scheme)).toEqual(["basic", "digest"]);
    expect(Object.fromEntries(challenges[1]?.parameters ?? [])).toEqual({
      realm: "IP Camera(C0 : 12)",
      nonce: "abc",
      stale: "TRUE",
      algorithm: "MD5",
    });
    expect(parseChallenges(["Digest realm=IP Camera, nonce=x"])[0]?.parameters.get("realm")).toBe("IP Camera");
  });

  it("prefers SHA-256, then MD5, and never falls back to Basic beside Digest", () => {
    expect(choose(`Digest ${RFC7616}`, `Digest ${RFC7616}, algorithm=SHA-256`, "Basic realm=x")).toMatchObject({
      scheme: "digest",
      algorithm: "SHA-256",
    });
    expect(choose("Basic realm=x", 'Digest realm="x", nonce="n"')).toMatchObject({ scheme: "digest", algorithm: "MD5" });
    expect(choose('Digest realm="x", nonce="n", algorithm=SHA-512', 'Digest realm="x", nonce="m", algorithm="md5"')).toMatchObject({
      nonce: "m",
    });
    expect(chooseChallenge(parseChallenges(['Digest realm="x", nonce="n", algorithm=SHA-512', "Basic realm=x"]))).toBeNull();
    expect(chooseChallenge(parseChallenges(['Digest realm="x", nonce="n", qop="auth-int"', "Basic realm=x"]))).toBeNull();
    expect(chooseChallenge(parseChallenges(["Bearer realm=x"]))).toBeNull();
    expect(chooseChallenge([])).toBeNull();
  });

  it("is bounded", () => {
    expect(parseChallenges(Array.from({ length: 100 }, () => "Basic realm=x"))).toHaveLength(16);
  });
});
