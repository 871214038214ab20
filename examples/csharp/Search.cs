// Enrol one photo, and search with another:
//   FR_SERVER=HOST:PORT FR_CA=ca.pem FR_KEY_FILE=key dotnet run -- GALLERY SUBJECT ENROL.jpg PROBE.jpg
// Without FR_CA and FR_KEY_FILE, it calls a server on this machine that asks for no key.
using System.Globalization;
using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using FrApi.V1;
using Google.Protobuf;
using Google.Rpc;
using Grpc.Core;
using Grpc.Net.Client;

if (args.Length != 4)
{
    Console.Error.WriteLine("Usage: dotnet run -- GALLERY SUBJECT ENROL.jpg PROBE.jpg");
    return 2;
}
var (gallery, subject, enrolled, probe) = (args[0], args[1], args[2], args[3]);
var deadline = DateTime.UtcNow.AddMinutes(1);
try
{
    using var channel = Connect();
    var client = new GalleryService.GalleryServiceClient(channel);
    try
    {
        await client.EnrolAsync(
            new EnrolRequest { GalleryId = gallery, SubjectId = subject, Face = Photo(enrolled) },
            deadline: deadline);
    }
    catch (RpcException error) when (Reason(error) == "DUPLICATE_IMAGE")
    {
        Console.WriteLine("already enrolled");
    }
    var answer = await client.SearchAsync(
        new SearchRequest
        {
            GalleryId = gallery,
            Probe = Photo(probe),
            TopK = 5,
            Purpose = Purpose.Testing,
            CaseReference = "first try",
        },
        deadline: deadline);
    foreach (var one in answer.Results[0].Candidates)
    {
        var similarity = one.Similarity.ToString("F4", CultureInfo.InvariantCulture);
        Console.WriteLine($"{one.Rank}  {one.SubjectId}  {similarity}  {(one.AboveThreshold ? "lead" : "below threshold")}");
    }
    Console.WriteLine(answer.Notice);
    return 0;
}
catch (RpcException error)
{
    Console.Error.WriteLine($"{Reason(error)}: {error.Status.Detail}");
    return 1;
}
catch (IOException error) // of a file
{
    Console.Error.WriteLine(error.Message);
    return 1;
}

static string Reason(RpcException error) =>
    error.GetRpcStatus()?.GetDetail<ErrorInfo>()?.Reason ?? error.StatusCode.ToString();

static Probe Photo(string path) =>
    new() { Image = new Image { Data = ByteString.CopyFrom(File.ReadAllBytes(path)) } };

static GrpcChannel Connect()
{
    var server = Environment.GetEnvironmentVariable("FR_SERVER") ?? "localhost:50061";
    var ca = Environment.GetEnvironmentVariable("FR_CA");
    if (string.IsNullOrEmpty(ca))
    {
        return GrpcChannel.ForAddress($"http://{server}");
    }
    var roots = new X509ChainPolicy
    {
        TrustMode = X509ChainTrustMode.CustomRootTrust,
        RevocationMode = X509RevocationMode.NoCheck,
    };
    roots.CustomTrustStore.ImportFromPemFile(ca);
    var key = File.ReadAllText(Environment.GetEnvironmentVariable("FR_KEY_FILE") ?? "key").Trim();
    if (key.Length == 0 || key.Any(letter => letter is < '!' or > '~'))
    {
        throw new IOException("The file of FR_KEY_FILE holds no key: one line, without spaces.");
    }
    var bearer = CallCredentials.FromInterceptor((_, metadata) =>
    {
        metadata.Add("authorization", $"Bearer {key}");
        return Task.CompletedTask;
    });
    return GrpcChannel.ForAddress($"https://{server}", new GrpcChannelOptions
    {
        HttpHandler = new SocketsHttpHandler
        {
            SslOptions = new SslClientAuthenticationOptions { CertificateChainPolicy = roots },
        },
        Credentials = ChannelCredentials.Create(ChannelCredentials.SecureSsl, bearer),
    });
}
