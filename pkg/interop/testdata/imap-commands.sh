# What each command prints must not depend on the server. Personas refuse a command now and then: it is tried again.
mail() {
	command mail "$@" 2>words
	code=$?
	if [ $code = 75 ]; then
		sleep 2
		command mail "$@" 2>words
		code=$?
	fi
	[ $code = 0 ] || echo "status $code"
}
store() { # without UIDPLUS there are no UIDs
	mail imap append "$@" >/dev/null
}
cat >mbox <<'END'
From x Mon Nov  2 09:00:00 2020
From: Bob <bob@example.org>
Subject: plan
Date: Mon, 2 Nov 2020 10:00:00 +0100
Message-ID: <m1@example.org>

go

From x Tue Nov  3 09:00:00 2020
From: Alice <zoe@example.org>
Subject: Re: plan
Date: Sun, 1 Nov 2020 10:00:00 +0100
Message-ID: <m2@example.org>

re

From x Wed Nov  4 09:00:00 2020
From: Carol <carol@example.org>
Subject: something else
Date: Wed, 4 Nov 2020 10:00:00 +0100
Message-ID: <m3@example.org>
In-Reply-To: <m1@example.org>

other

From x Thu Nov  5 09:00:00 2020
From: =?utf-8?Q?D=C3=A0n?= <dan@example.org>
Subject: =?utf-8?Q?cr=C3=AApes?=
Date: Thu, 5 Nov 2020 10:00:00 +0100
Message-ID: <m4@example.org>

flour
milk

From x Fri Nov  6 09:00:00 2020
From: Eve <eve@example.org>
Subject: dessert
Date: Fri, 6 Nov 2020 10:00:00 +0100
Message-ID: <m5@example.org>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=x

--x
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

cr=E8me br=FBl=E9e
--x
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: base64
Content-Disposition: attachment; filename=menu.txt

Y2l0cm9uCg==
--x--

END
echo "# append, select, list"
store INBOX <mbox
mail imap select INBOX | grep ^messages
mail imap list -l INBOX | cut -f 1,3,4
echo "# search"
mail imap search INBOX | paste -sd ' '
mail imap search INBOX subject:crêpes
mail imap search INBOX from:DÀN
mail imap search INBOX not:body:brûlée older:1d not:subject:plan | paste -sd ' '
mail imap search INBOX younger:1h
mail imap search INBOX since:2020-11-03 before:2020-11-05 | paste -sd ' '
mail imap search INBOX subject:nothing
echo "# sort, thread"
mail imap sort INBOX subject,reverse:date | paste -sd ' '
mail imap sort INBOX reverse:size | paste -sd ' '
mail imap sort INBOX from not:subject:crêpes | paste -sd ' '
mail imap thread INBOX
mail imap thread INBOX --by subject
echo "# fetch"
mail imap fetch INBOX 1:2
mail imap fetch INBOX 4 | cat
mail imap fetch INBOX 1:5 --envelope
mail imap fetch INBOX 5 --structure
mail imap fetch INBOX 5 --part 1 --decode
echo
mail imap fetch INBOX 5 --part 2 --decode
mail imap fetch INBOX 5 --part 2 --range 4-
echo
mail imap fetch INBOX 3 --headers | grep ^Subject
mail imap fetch INBOX 3,4 --preview
mail imap fetch INBOX 9
echo "# flag, copy, move, expunge"
mail imap flag INBOX 1:2 --add flagged --add todo
mail imap flag INBOX 2 --remove todo
mail imap search INBOX keyword:todo flagged
mail imap copy INBOX 1,3 --to Årchive --create >/dev/null
mail imap fetch Årchive 1:* --headers | grep ^Subject
mail imap move INBOX 2 --to Årchive >/dev/null 2>&1 | grep -v 'status 3'
mail imap search INBOX undeleted | paste -sd ' '
mail imap search Årchive | paste -sd ' '
mail imap flag Årchive 1 --add deleted
mail imap expunge Årchive
mail imap search Årchive | paste -sd ' '
mail imap rename Årchive 'R&D "x"'
mail imap list 'R*' | cut -f 1
mail imap delete 'R&D "x"'
mail imap select 'R&D "x"'
echo "# pipes, watch, raw"
command mail imap search INBOX undeleted 2>words | command mail imap fetch INBOX - 2>words >some.mbox
mail imap create Copies
store Copies <some.mbox
mail imap search Copies | paste -sd ' '
(sleep 1; store INBOX <<'END'
Subject: news

END
) &
mail imap watch INBOX --once --timeout 20s --poll 1s --exec 'grep ^Subject'
wait
mail imap raw NOOP >/dev/null
