// The Perl side of the mount helper: one long-lived process makes the system calls that Node has no name for, so that a
// command costs no extra process. Reads lines of hexadecimal words, answers each with one line, in order.

/** Run as `perl -e`; needs nothing beyond perl-base. */
export const mountScript: string = String.raw`
use strict; use POSIX (); $| = 1;
my $arm = ((POSIX::uname())[4] eq 'aarch64') ? 1 : 0;
my %nr = (mount => [165, 40], umount => [166, 39], lgetxattr => [192, 9], lremovexattr => [198, 15], syncfs => [306, 267],
  unshare => [272, 97], open_tree => [428, 428], move_mount => [429, 429], mount_setattr => [442, 442]);
sub call { my $name = shift; my $r = syscall($nr{$name}[$arm], @_); die "errno " . ($! + 0) . "\n" if $r == -1; return $r; }
sub c { my $s = $_[0] . "\0"; return $s; }
sub mount_at { my ($source, $target, $type, $flags, $data) = @_;
  my ($s, $t, $f, $d) = (c($source), c($target), c($type), c($data)); call('mount', $s, $t, $f, $flags + 0, $d); return 0; }
my %do = (
  mount => sub { mount_at(@_) },
  overlay => sub { my ($dir, $lower, $target, $options) = @_; chdir($dir) or die "errno " . ($! + 0) . "\n";
    my $ok = eval { mount_at('overlay', $target, 'overlay', 6, "lowerdir=$lower,upperdir=upper,workdir=work,$options"); 1 };
    my $e = $@; chdir('/'); die $e unless $ok; return 0; },
  umount => sub { my $t = c($_[0]); call('umount', $t, 2); return 0; },
  fifo => sub { umask(0); POSIX::mkfifo($_[0], 0666) or die "errno " . ($! + 0) . "\n"; umask(077); return 0; },
  opaque => sub { my $p = c($_[0]);
    for my $n ('trusted.overlay.opaque', 'user.overlay.opaque') { my $name = c($n); my $v = "\0" x 8;
      my $r = syscall($nr{lgetxattr}[$arm], $p, $name, $v, 8); return 1 if $r > 0 && substr($v, 0, 1) =~ /[yx]/; }
    return 0; },
  strip => sub { my $p = c($_[0]);
    for my $space ('trusted', 'user') { for my $n ('origin', 'impure', 'nlink', 'opaque', 'redirect', 'metacopy', 'upper', 'uuid') {
      my $name = c("$space.overlay.$n"); syscall($nr{lremovexattr}[$arm], $p, $name); } }
    return 0; },
  syncfs => sub { open(my $h, '<', $_[0]) or die "errno " . ($! + 0) . "\n"; call('syncfs', fileno($h)); close($h); return 0; },
  idmap => sub { my ($source, $target, $uids, $gids) = @_;
    pipe(my $r1, my $w1); pipe(my $r2, my $w2); my $pid = fork(); die "errno 11\n" unless defined $pid;
    if (!$pid) { close($r1); close($w2); my $r = syscall($nr{unshare}[$arm], 0x10000000); syswrite($w1, $r == 0 ? 'y' : 'n'); sysread($r2, my $x, 1); POSIX::_exit(0); }
    close($w1); close($r2);
    my $ok = eval {
      sysread($r1, my $x, 1); die "errno 1\n" if $x ne 'y';
      for my $m (['uid_map', $uids], ['gid_map', $gids]) { my $fd = POSIX::open("/proc/$pid/$m->[0]", 1); die "errno " . ($! + 0) . "\n" unless defined $fd;
        my $done = POSIX::write($fd, $m->[1], length $m->[1]); my $e = $! + 0; POSIX::close($fd); die "errno $e\n" unless $done; }
      open(my $ns, '<', "/proc/$pid/ns/user") or die "errno " . ($! + 0) . "\n";
      my ($s, $t, $none) = (c($source), c($target), "\0");
      my $tree = call('open_tree', -100, $s, 02000001);
      my $attr = pack('QQQQ', 0x00100000, 0, 0, fileno($ns));
      my $set = eval { call('mount_setattr', $tree, $none, 0x1000, $attr, 32); my $n2 = "\0"; call('move_mount', $tree, $n2, -100, $t, 4); 1 };
      my $e = $@; POSIX::close($tree); close($ns); die $e unless $set; 1 };
    my $e = $@; syswrite($w2, 'x'); close($w2); waitpid($pid, 0); die $e unless $ok; return 0; },
);
while (my $line = <STDIN>) { chomp $line; my ($name, @args) = map { pack('H*', $_) } split(/ /, $line, -1);
  my $r = eval { $do{$name}->(@args) };
  if (defined $r) { print "ok $r\n" } else { my $e = $@; $e =~ s/\s+/ /g; print "no $e\n" } }
`
