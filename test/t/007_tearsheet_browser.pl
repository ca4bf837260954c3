# The tear-sheet in a browser: nothing on the console, nothing fetched, no
# horizontal scroll on a desk and on a telephone, something to see, and
# hostile text is text.

use strict;
use warnings;
use Compress::Zlib;
use FindBin;
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($chromium) = grep { -x } map { my $dir = $_; map { "$dir/$_" } qw(chromium chromium-browser google-chrome) } split /:/, $ENV{PATH};
plan skip_all => 'no chromium here' unless defined $chromium;

my $dir = PostgreSQL::Test::Utils::tempdir;
my $runs = 0;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION fxplatform CASCADE');

# Run the browser with a new profile, no network and a log of what it asks for;
# return its output, the lines of the console and the addresses.
sub browse
{
	my ($file, @options) = @_;
	my $profile = "$dir/profile" . ++$runs;
	my ($out, $err) = ('', '');

	local $ENV{HOME} = $profile;
	mkdir $profile;
	IPC::Run::run([ $chromium, qw(--headless --no-sandbox --disable-gpu --disable-quic --disable-dev-shm-usage
			--no-first-run --disable-background-networking --disable-component-update --disable-sync
			--allow-file-access-from-files --hide-scrollbars --enable-logging=stderr --v=0 --virtual-time-budget=5000),
			"--user-data-dir=$profile/data", "--log-net-log=$profile/net.json", '--host-resolver-rules=MAP * ~NOTFOUND',
			@options, "file://$dir/$file" ],
		'>', \$out, '2>', \$err, IPC::Run::timeout(180))
	  or BAIL_OUT("$chromium failed: $err");

	# its own calls home, which go nowhere, are not the page's
	my %urls = map { $_ => 1 } grep { !m{^\w+://[^/]*\b(google|googleapis|gvt1)\.com[:/]} && !/^(file|data|chrome|devtools|about):/ }
	  slurp_file("$profile/net.json") =~ /"url":"([^"]*)"/g;
	return ($out, [ grep { /:CONSOLE[:(]/ } split /\n/, $err ], [ sort keys %urls ]);
}

sub put
{
	my ($file, $text) = @_;

	open my $fh, '>:raw', "$dir/$file" or die "cannot write $file: $!";
	print $fh $text;
	close $fh;
	return;
}

# What a script sees of a page in a frame of some width.
sub inspect
{
	my ($file, $width) = @_;

	put('frame.html', <<"END");
<!DOCTYPE html><html><head><meta charset="utf-8"></head><body style="margin:0"><iframe id="f" src="$file" style="border:0;width:${width}px;height:900px"></iframe><pre id="seen"></pre>
<script>
document.getElementById('f').onload = function () {
	var d = this.contentDocument, w = this.contentWindow, root = d.documentElement, seen = {};
	function over() { return Math.max(root.scrollWidth, d.body.scrollWidth) - root.clientWidth; }
	seen.width = root.clientWidth;
	seen.over = over();
	seen.height = root.scrollHeight;
	seen.details = d.querySelectorAll('details').length;
	d.querySelectorAll('details').forEach(function (e) { e.open = true; });
	seen.opened = root.scrollHeight;
	seen.over_opened = over();
	seen.scripts = d.scripts.length;
	seen.fetched = w.performance.getEntriesByType('resource').length;
	seen.heading = d.querySelector('h1').textContent;
	seen.title = d.title;
	seen.symbol = d.querySelector('#symbols tbody th') ? d.querySelector('#symbols tbody th').textContent : '';
	seen.strategy = d.querySelector('.facts dd').textContent;
	seen.unlabelled = d.querySelectorAll('.plot:not([aria-label]), svg:not([aria-hidden])').length;
	seen.lang = root.lang;
	seen.mode = d.compatMode;
	seen.charset = d.characterSet;
	document.getElementById('seen').textContent = encodeURIComponent(JSON.stringify(seen));
};
</script></body></html>
END
	my ($dom, $console, $urls) = browse('frame.html', '--window-size=1400,900', '--dump-dom');
	my ($seen) = $dom =~ m{<pre id="seen">([^<]+)</pre>};

	return undef unless defined $seen;
	$seen =~ s/%([0-9A-F]{2})/chr hex $1/ge;
	return decode_json($seen);
}

# The colours of a picture, and how many pixels have each.
sub colours
{
	my ($file) = @_;
	my $png = slurp_file($file);
	my ($at, $data) = (8, '');
	my ($width, $height, $depth, $type);

	while ($at < length $png)
	{
		my ($len, $chunk) = unpack 'N a4', substr $png, $at, 8;
		($width, $height, $depth, $type) = unpack 'N N C C', substr $png, $at + 8, 10 if $chunk eq 'IHDR';
		$data .= substr $png, $at + 8, $len if $chunk eq 'IDAT';
		$at += 12 + $len;
	}
	die "a picture of depth $depth and type $type" unless $depth == 8 && ($type == 2 || $type == 6);

	my $bytes = $type == 2 ? 3 : 4;
	my $raw = uncompress($data);
	my @above = (0) x ($width * $bytes);
	my %count;
	foreach my $y (0 .. $height - 1)
	{
		my ($filter, @row) = unpack 'C*', substr $raw, $y * ($width * $bytes + 1), $width * $bytes + 1;

		if ($filter == 2)
		{
			$row[$_] = ($row[$_] + $above[$_]) & 255 foreach 0 .. $#row;
		}
		elsif ($filter)
		{
			foreach my $i (0 .. $#row)
			{
				my $left = $i < $bytes ? 0 : $row[ $i - $bytes ];
				my $up = $above[$i];
				my $corner = $i < $bytes ? 0 : $above[ $i - $bytes ];
				my $p = $left + $up - $corner;
				my ($l, $u, $c) = (abs($p - $left), abs($p - $up), abs($p - $corner));

				$row[$i] = ($row[$i] + ($filter == 1 ? $left
					: $filter == 3 ? ($left + $up) >> 1
					: $l <= $u && $l <= $c ? $left
					: $u <= $c ? $up
					: $corner)) & 255;
			}
		}
		$count{ pack 'C3', @row[ $_ * $bytes .. $_ * $bytes + 2 ] }++ foreach 0 .. $width - 1;
		@above = @row;
	}
	return ($width, $height, \%count);
}

# The detectors detect: a page that logs, fetches, and is too wide.
put('faulty.html', '<!DOCTYPE html><html lang="en"><body><h1>x</h1><dl class="facts"><dd>y</dd></dl><div style="width:2000px">wide</div><svg><rect width=""/></svg>'
	  . '<img src="http://example.com/leak.png"><script>console.error("said")</script></body></html>');
my (undef, $console, $urls) = browse('faulty.html', '--dump-dom');
is(scalar(grep { /said|attribute width/ } @$console), 2, 'an error on the console is noticed');
is_deeply($urls, ['http://example.com/leak.png'], 'a request is noticed');
cmp_ok(inspect('faulty.html', 390)->{over}, '>', 1000, 'a horizontal scroll is noticed');

# Pages: an ordinary run, nothing, no times, very many trades, and hostile text
my $hostile = q{</title></style><script>alert(1)</script><img src=x onerror=alert(2)>"'&} . "\x{202e}" . ('long' x 50);
my %sql = (
	usual => q{SELECT fx.tearsheet(jsonb_agg(jsonb_build_object('profit', (n * 7919 % 401 - 190) / 4.0, 'commission', 0.5, 'symbol', (ARRAY['EURUSD', 'USDJPY', 'XAUUSD'])[1 + n % 3],
		'type', CASE WHEN n % 5 < 3 THEN 'buy' ELSE 'sell' END, 'quantity', 1000 * n, 'executedAt', timestamptz '2022-03-01 12:30Z' + n * interval '25 hours', 'closedAt', timestamptz '2022-03-01 12:30Z' + n * interval '28 hours')), 10000, 'Usual') FROM generate_series(1, 500) AS n},
	many => q{SELECT fx.tearsheet(jsonb_agg(jsonb_build_object('profit', (n::bigint * 7919 % 100003 - 49000) / 10.0, 'symbol', repeat('WIDE', 20) || n % 400, 'quantity', repeat('9', 60),
		'closedAt', timestamptz '1950-01-01 00:00Z' + n * interval '5 hours')), 10000, 'Many') FROM generate_series(1, 100000) AS n},
	empty => q{SELECT fx.tearsheet('[]', 10000, 'Empty')},
	untimed => q{SELECT fx.tearsheet('[{"profit": 1e27, "symbol": "A"}, {"profit": -123456789.12345678}, {"profit": 0}]', 0.00000001, 'Untimed')});

$node->safe_psql('postgres', <<"END");
INSERT INTO fx.users (id, email, username, password_hash) VALUES ('00000000-0000-4000-8000-0000000000a1', 'a\@example.com', 'a', 'x');
CREATE TABLE hostile (name text);
INSERT INTO hostile VALUES (\$h\$</title></style><script>alert(1)</script><img src=x onerror=alert(2)>"'&\$h\$ || U&'\\202E' || repeat('long', 50));
INSERT INTO fx.strategies (id, user_id, name, type) SELECT '00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000a1', left(name, 255), 'manual' FROM hostile;
INSERT INTO fx.backtests (id, strategy_id, user_id, name, config, status)
SELECT '00000000-0000-4000-8000-0000000000c1', '00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000a1', left(name, 255), jsonb_build_object(name, repeat(name, 500)), 'running' FROM hostile;
SELECT fx.complete_backtest('00000000-0000-4000-8000-0000000000c1', (SELECT jsonb_build_array(jsonb_build_object('profit', 1, 'symbol', name, 'type', name, 'quantity', name, 'closedAt', '2024-01-02')) FROM hostile));
END
$sql{hostile} = q{SELECT fx.tearsheet('00000000-0000-4000-8000-0000000000c1')};

foreach my $name (qw(usual many empty untimed hostile))
{
	my $page = $node->safe_psql('postgres', $sql{$name});
	put("$name.html", $page);
	cmp_ok(length $page, '<', 300_000, "$name: " . length($page) . ' bytes');
	unlike($page, qr/<script|javascript:|\son\w+="|(src|href)\s*=\s*"|url\(|\@import|https?:/i, "$name: refers to nothing");

	my (undef, $console, $urls) = browse("$name.html", '--window-size=1280,2400', "--screenshot=$dir/$name.png");
	is_deeply($console, [], "$name: nothing on the console");
	is_deeply($urls, [], "$name: no request");

	my ($width, $height, $count) = colours("$dir/$name.png");
	my ($most) = sort { $b <=> $a } values %$count;
	is("$width x $height", '1280 x 2400', "$name: a picture");
	cmp_ok(scalar keys %$count, '>', 50, "$name: with " . keys(%$count) . ' colours');
	cmp_ok($most / ($width * $height), '<', 0.95, "$name: is not blank");
	if ($name eq 'usual')
	{
		cmp_ok($count->{ pack 'C3', 0x1f, 0x5f, 0xa8 } // 0, '>', 2000, "$name: gains are drawn");
		cmp_ok($count->{ pack 'C3', 0xc2, 0x57, 0x0c } // 0, '>', 1000, "$name: so are losses");
	}

	foreach my $frame (1280, 390)
	{
		my $seen = inspect("$name.html", $frame);

		is($seen->{width}, $frame, "$name at $frame: the frame is as wide");
		is($seen->{over}, 0, "$name at $frame: no horizontal scroll");
		is($seen->{over_opened}, 0, "$name at $frame: nor with the tables open");
		cmp_ok($seen->{opened}, '>', $seen->{height}, "$name at $frame: $seen->{details} tables open");
		is("$seen->{scripts} $seen->{fetched} $seen->{unlabelled} $seen->{lang} $seen->{mode} $seen->{charset}", '0 0 0 en CSS1Compat UTF-8', "$name at $frame: a document");
		next if $name ne 'hostile';
		is($seen->{heading}, substr($hostile, 0, 200) . "\x{2026}", "$name at $frame: heading is text");
		is($seen->{title}, substr($hostile, 0, 200), "$name at $frame: so is the title");
		is($seen->{strategy}, substr($hostile, 0, 200) . "\x{2026}", "$name at $frame: the strategy");
		is($seen->{symbol}, substr($hostile, 0, 24) . "\x{2026}", "$name at $frame: the symbol");
	}
}

# on paper the tables are there although they are closed on the screen
SKIP:
{
	my ($pdftotext) = grep { -x } map { "$_/pdftotext" } split /:/, $ENV{PATH};
	skip 'no pdftotext here', 1 unless defined $pdftotext;
	browse('usual.html', "--print-to-pdf=$dir/usual.pdf");
	IPC::Run::run([ $pdftotext, '-layout', "$dir/usual.pdf", '-' ], '>', \my $text);
	like($text, qr/Trades so far/, 'tables are printed');
}

$node->stop;
done_testing();
