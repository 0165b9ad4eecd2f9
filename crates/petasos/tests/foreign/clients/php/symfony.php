<?php
// Publishes with the Mercure component of Symfony and makes its cookies, as an application does.
//
// Settings: url (of the hub), public_url, publisher_jwt, subscriber_key. A JSON object a line: commands in, reports out.

declare(strict_types=1);

require_once 'Symfony/Component/HttpClient/autoload.php';
require_once 'Symfony/Component/HttpFoundation/autoload.php';
require_once 'Symfony/Component/Mercure/autoload.php';

use Symfony\Component\HttpFoundation\Request;
use Symfony\Component\Mercure\Authorization;
use Symfony\Component\Mercure\Hub;
use Symfony\Component\Mercure\HubRegistry;
use Symfony\Component\Mercure\Jwt\StaticTokenProvider;
use Symfony\Component\Mercure\Jwt\TokenFactoryInterface;
use Symfony\Component\Mercure\Update;

/** A token factory of the application's own: Debian has no package of lcobucci/jwt, which the component's needs. */
final class HmacTokenFactory implements TokenFactoryInterface
{
    public function __construct(private string $key)
    {
    }

    public function create(?array $subscribe = [], ?array $publish = [], array $additionalClaims = []): string
    {
        $claims = $additionalClaims;
        if (($claims['exp'] ?? null) instanceof DateTimeInterface) {
            $claims['exp'] = $claims['exp']->getTimestamp();
        }
        $rights = array_filter(['publish' => $publish, 'subscribe' => $subscribe], 'is_array');
        $claims['mercure'] = array_merge($rights, $additionalClaims['mercure'] ?? []);
        $message = self::part(['typ' => 'JWT', 'alg' => 'HS256']).'.'.self::part($claims);

        return $message.'.'.self::encode(hash_hmac('sha256', $message, $this->key, true));
    }

    private static function part(array $members): string
    {
        return self::encode(json_encode($members, \JSON_THROW_ON_ERROR | \JSON_UNESCAPED_SLASHES));
    }

    private static function encode(string $bytes): string
    {
        return rtrim(strtr(base64_encode($bytes), '+/', '-_'), '=');
    }
}

function report(array $what): void
{
    fwrite(\STDOUT, json_encode($what, \JSON_THROW_ON_ERROR | \JSON_UNESCAPED_SLASHES)."\n");
}

/** The message of an exception with those of its causes, where Symfony keeps the status. */
function reason(Throwable $exception): string
{
    $messages = [];
    for (; null !== $exception; $exception = $exception->getPrevious()) {
        $messages[] = $exception->getMessage();
    }

    return implode(': ', $messages);
}

$settings = json_decode($argv[1], true, 16, \JSON_THROW_ON_ERROR);
$hub = new Hub(
    $settings['url'],
    new StaticTokenProvider($settings['publisher_jwt']),
    new HmacTokenFactory($settings['subscriber_key']),
    $settings['public_url'],
);
$authorization = new Authorization(new HubRegistry($hub));

while (false !== $line = fgets(\STDIN)) {
    $command = json_decode($line, true, 16, \JSON_THROW_ON_ERROR);
    try {
        if (isset($command['publish'])) {
            $update = $command['publish'];
            $id = $hub->publish(new Update(
                $update['topics'],
                $update['data'],
                $update['private'] ?? false,
                $update['id'] ?? null,
                $update['type'] ?? null,
                $update['retry'] ?? null,
            ));
            report(['published' => ['id' => $id]]);
        } elseif (isset($command['cookie'])) {
            // The application's own page, on the host of the hub and on another port.
            $request = Request::create($command['cookie']['page']);
            $claims = isset($command['cookie']['payload']) ? ['mercure' => ['payload' => $command['cookie']['payload']]] : [];
            $cookie = $authorization->createCookie($request, $command['cookie']['subscribe'], [], $claims);
            report(['cookie' => ['name' => $cookie->getName(), 'value' => $cookie->getValue(), 'header' => (string) $cookie]]);
        }
    } catch (Throwable $exception) {
        report(['error' => ['message' => reason($exception)]]);
    }
}
