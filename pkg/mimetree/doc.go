// Package mimetree packs files into MIME messages, walks MIME messages and unpacks them.
//
// It is for everything RFC 2045 to 2049 and RFC 2231 say: transfer encodings, parameters, multipart structure, file
// names; and for what a text needs to travel: an alternative made of its HTML ([TextFromHTML]), its images ([InlineImages]). It is
// not for header fields as such (package message does those) and it never rewrites a message it reads: a body is given as it
// stands or decoded, on the caller's choice. The exceptions are [Downgrade], for servers that take 7bit only, and [Repack], which gives
// back what [UnpackLossless] took apart. [Check] tells all that is wrong or ambiguous, not only what reading had to tolerate.
//
// # Rules
//
// Reading is tolerant, writing is strict. Whatever a hostile message does, a walk ends, in linear time and constant
// memory: depth, number of parts, header sizes and parameter counts are capped (see [Limits]). What had to be
// tolerated is reported as a [Defect] beside the part.
//
// A [Walk] is one pass over one buffer, and over one more for each encoded message it opens. The [Body] given to the visitor is valid during the call only. Bodies are
// decoded only when they are read, text is converted to UTF-8 only when [Body.Text] is asked for.
//
// What is written is a [Rendering]: its size is known before the first octet, it can be written again, and it never holds more than a few
// buffers of the files it reads. A file that is not as it was when it was looked at makes writing fail.
//
// Line ends may be CRLF or LF, also mixed. Packing gives LF form, the form used in pipes, unless wire form is asked for.
package mimetree
