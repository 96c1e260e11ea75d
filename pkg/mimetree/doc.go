// Package mimetree packs files into MIME messages, walks MIME messages and unpacks them.
//
// It is for everything RFC 2045 to 2049 and RFC 2231 say: transfer encodings, parameters, multipart structure, file
// names. It is not for header fields as such (package message does those) and it never rewrites a message it reads: a
// body is given as it stands or decoded, on the caller's choice.
//
// # Rules
//
// Reading is tolerant, writing is strict. Whatever a hostile message does, a walk ends, in linear time and constant
// memory: depth, number of parts, header sizes and parameter counts are capped (see [Limits]). What had to be
// tolerated is reported as a [Defect] beside the part.
//
// A [Walk] is one pass over one buffer. The [Body] given to the visitor is valid during the call only. Bodies are
// decoded only when they are read, text is converted to UTF-8 only when [Body.Text] is asked for.
//
// Line ends may be CRLF or LF, also mixed. Packing gives LF form, the form used in pipes, unless wire form is asked for.
package mimetree
